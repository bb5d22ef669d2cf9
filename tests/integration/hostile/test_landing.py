"""What stands in a landing folder beside sound files: each rejects its own batch by name, and no other."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from evergreen.config.locations import Locations
from tests.integration.hostile.small import Kind, check, land_sound, take, write_model

NAME = "rows_2024-01-02.csv"
SECRET = "id,at\n1,token"


def link_out(path: Path, folder: Path) -> None:
    (folder / "secret").write_text(SECRET)
    path.symlink_to(folder / "secret")


IRREGULAR: dict[str, Callable[[Path, Path], None]] = {
    "is a link that leads out of": link_out,
    "is a link that leads nowhere": lambda path, folder: path.symlink_to("nowhere"),
    "is no regular file": lambda path, folder: os.mkfifo(path),
}


@pytest.mark.parametrize("told", IRREGULAR)
def test_what_is_no_regular_file_rejects_its_batch_unread(told: str, tmp_path: Path) -> None:
    model, at = write_model(tmp_path), Locations.under(tmp_path)
    land_sound(model, at, 1)
    take(model, at, 1)
    IRREGULAR[told](Path(at.landing) / model.id / NAME, tmp_path)
    land_sound(model, at, 2, ("labels",))
    take(model, at, 2)
    check(model, at, "rows", Kind(told, {}, "rejected", 0, 1, (told, NAME, "expected a regular file")))
    written = b"".join(path.read_bytes() for path in Path(at.lake).rglob("*") if path.is_file())
    assert b"token" not in written
