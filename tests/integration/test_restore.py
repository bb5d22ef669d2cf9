"""docs/backup.md: a backup in its order, taken while the loop went on, is a place from which the loop goes on."""

import shutil
from pathlib import Path

from evergreen.judging.promotions import promotion_decided
from evergreen.storage.ledger import Ledger
from evergreen.storage.stores import open_stores
from tests.short_loop import fingerprint
from tests.unit.small_loop import SmallLoop, day, doubled

# What refers to others comes before what it refers to; lists of partitions and hashes of packed files are on record
# before MLflow has what they tell of, and come last.
LEDGER, DATA, PACKED = "lake/ledger", "lake/ledger/dev/small/data", "lake/ledger/dev/small/packed"
REST = ("lake/tables", "lake/raw", "lake/reports", "mlflow.db", "mlflow", DATA, PACKED)


def copy(source: Path, to: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, to, dirs_exist_ok=True)
    elif source.exists():
        # In place: this process still has the database open.
        to.write_bytes(source.read_bytes())


def test_a_day_that_ended_between_two_copies_is_found_or_made_again(tmp_path: Path) -> None:
    loop, backup = SmallLoop.under(tmp_path / "home"), tmp_path / "backup"
    loop.run(doubled, 1)
    copy(tmp_path / "home" / LEDGER, backup / LEDGER)
    loop.run(doubled, 2)
    for part in REST:
        copy(tmp_path / "home" / part, backup / part)
    lived = fingerprint(loop.model, loop.at)
    serves = promotion_decided(loop.stores.ledger, day(2))
    assert serves is not None
    assert serves.as_of == day(2), "the day between the copies has to promote"

    for part in (LEDGER, *REST):
        place = tmp_path / "home" / part
        if place.is_dir():
            shutil.rmtree(place)
        copy(backup / part, place)
    open_stores.cache_clear()
    assert promotion_decided(Ledger(loop.at.lake, "dev", "small"), day(2)) != serves
    loop.run(doubled, 2)
    assert fingerprint(loop.model, loop.at) == lived
    assert promotion_decided(loop.stores.ledger, day(2)) == serves
