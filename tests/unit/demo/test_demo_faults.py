"""The faults of the demo: each damages one batch's files, and no other's."""

import gzip

import pandas as pd
import pytest

from evergreen.demo.stream import DemoStream
from tests.demo_faults import FAULTS, deliver_late, land_broken

STREAM = DemoStream(trips=60, batches=4, broken=(), shifted=(0, 0), changed=0)


@pytest.fixture
def landed(tmp_path):
    """Land two sound batches and a third with a fault; tell which files differ from the sound ones."""

    def land(kind):
        sound, broken = tmp_path / "sound", tmp_path / "broken"
        for number in (1, 2, 3):
            STREAM.land(sound, number)
        for number in (1, 2):
            STREAM.land(broken, number)
        land_broken(STREAM, broken, 3, kind)
        before, after = ({path.name: path.read_bytes() for path in place.iterdir()} for place in (sound, broken))
        changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
        return broken, changed

    return land


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_damages_its_own_batch_and_the_same_way_each_time(landed, kind, tmp_path):
    folder, changed = landed(kind)
    assert changed
    assert all("2024-01-03" in name for name in changed)
    again = tmp_path / "again"
    for number in (2, 3):
        STREAM.land(again, number)
    land_broken(STREAM, again, 3, kind)
    assert all(
        (again / name).read_bytes() == (folder / name).read_bytes() for name in changed if (again / name).exists()
    )


def read(folder, name="green_2024-01-03.csv.gz"):
    return pd.read_csv(folder / name, dtype=str, keep_default_na=False)


def test_units_change_by_their_factor_and_dirt_stays_dirt(landed):
    folder, _ = landed("unit change")
    sound, broken = STREAM.make_rows(3)["trip_distance"], read(folder)["trip_distance"]
    odd = sound == "n/a"
    assert odd.sum() == 2
    assert (broken[odd] == "n/a").all()
    assert broken[~odd].astype(float).to_numpy() == pytest.approx(sound[~odd].astype(float) * 1.609344, abs=0.005)


def test_dates_are_written_in_another_order(landed):
    folder, _ = landed("wrong date order")
    days = read(folder)["lpep_pickup_datetime"].str[:10].value_counts()
    assert days["2024-03-01"] > 50
    assert days["2024-31-02"] == 2


def test_a_late_file_is_not_there_until_it_is_delivered(landed):
    folder, _ = landed("late file")
    assert not list(folder.glob("green_2024-01-03*"))
    deliver_late(folder)
    assert [path.name for path in folder.glob("green_2024-01-03*")] == ["green_2024-01-03.csv.gz"]
    assert read(folder).equals(STREAM.make_rows(3))


def test_a_truncated_file_cannot_be_unpacked_and_a_truncated_export_can(landed):
    folder, _ = landed("truncated file")
    with pytest.raises(EOFError):
        gzip.decompress((folder / "green_2024-01-03.csv.gz").read_bytes())
    folder, _ = landed("truncated export")
    assert len(gzip.decompress((folder / "green_2024-01-03.csv.gz").read_bytes()).splitlines()) < len(
        STREAM.make_rows(3)
    )
