"""What stands in a landing folder beside sound files: each rejects its own batch by name, and no other."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from evergreen.config.locations import Locations
from evergreen.records import BatchRecord
from evergreen.sources.intake import probe_beforehand
from evergreen.steps.reingest_batch import reingest_batch
from evergreen.steps.validate_batch import describe_fault
from evergreen.storage.stores import open_stores
from tests.integration.hostile.small import HEADER, Kind, check, csv, land_sound, rows_of, take, write_model
from tests.short_loop import records, tables

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
    # A sound file in its place, and the batch is taken in again.
    path = Path(at.landing) / model.id / NAME
    path.unlink()
    path.write_bytes(csv(HEADER, *rows_of(2)))
    seen = probe_beforehand(model, at, "rows", "2024-01-02")
    assert reingest_batch(model, at, "2024-01-02", "rows", seen).after.clean == 4


ODD = [b" a\nb", b"\xff\xe9", b" #1%20?", b"\x1b[31m", b"x" * 234, "高é".encode()]


def test_a_file_may_have_any_name(tmp_path: Path) -> None:
    model, at = write_model(tmp_path), Locations.under(tmp_path)
    land_sound(model, at, 1)
    take(model, at, 1)
    for number, (name, row) in enumerate(zip(ODD, rows_of(2, len(ODD)), strict=True)):
        for feed, text in (("rows", csv(HEADER, row)), ("labels", csv("id,minutes", f"{200 + number},5"))):
            path = os.fsencode(at.landing) + f"/trips/{feed}_2024-01-02".encode() + name + b".csv"
            Path(os.fsdecode(path)).write_bytes(text)
    take(model, at, 2)
    stores = open_stores(at, model.id)
    for feed in ("rows", "labels"):
        record = stores.ledger.get(BatchRecord, f"{feed}.2024-01-02")
        assert record is not None
        assert (record.state, record.clean, record.quarantined) == ("published", len(ODD), 0)
        told = {f"{feed}_2024-01-02{odd}.csv" for odd in (r"\xff\xe9", r" a\x0ab", "高é")}
        assert told < {file.name for file in record.files}
    # None of them is taken for one that came late.
    land_sound(model, at, 3)
    take(model, at, 3)
    after = stores.ledger.get(BatchRecord, "rows.2024-01-03")
    assert after is not None
    assert (after.state, after.clean, len(after.files)) == ("published", 4, 1)
    before = tables(model, at) | records(model, at)
    for day in (1, 2, 3):
        take(model, at, day)
    assert tables(model, at) | records(model, at) == before


def test_a_fault_in_a_file_of_an_odd_name_is_told_by_a_name_that_can_be_written(tmp_path: Path) -> None:
    model, at = write_model(tmp_path), Locations.under(tmp_path)
    land_sound(model, at, 1)
    take(model, at, 1)
    Path(at.landing, model.id, os.fsdecode(b"rows_2024-01-02\xff\n.csv")).write_bytes(b"\xff")
    land_sound(model, at, 2, ("labels",))
    take(model, at, 2)
    record = open_stores(at, model.id).ledger.get(BatchRecord, "rows.2024-01-02")
    assert record is not None
    assert [reason.file for reason in record.reasons] == [r"rows_2024-01-02\xff\x0a.csv"]
    assert r"rows_2024-01-02\xff\x0a.csv" in describe_fault(model, record).text
