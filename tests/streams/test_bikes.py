"""The bikes example: hourly rentals, weekly batches, labels inside the rows, a lookback."""

import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evergreen.config.locations import Locations
from evergreen.config.model_folder import load_model_folder
from evergreen.records import BatchRecord, DataRecord
from evergreen.replay.history import History
from evergreen.replay.measured_history import collect_history
from evergreen.replay.runner import for_replay, replay
from evergreen.scaffold.split_history import split_history
from evergreen.storage.stores import open_stores

ROOT = Path(__file__).parent.parent.parent
EXAMPLE = ROOT / "docs" / "examples" / "bikes"
DATA = Path(os.environ.get("EVERGREEN_EXAMPLE_DATA", ROOT.parent / "shared" / "data")) / "bike_hour.csv"


def drive(file: Path, folder: Path, policy: str | None) -> tuple[History, Locations]:
    """Cut a history file into weeks and replay them all."""
    model, at = for_replay(load_model_folder(EXAMPLE), None, policy, html=False), Locations.under(folder)
    counts = split_history(model, [file], Path(at.landing) / model.id).rows
    first, last = model.config.calendar.name(0), max(counts)
    replay(model, at, first, last)
    return collect_history(model, at, first, last), at


@pytest.mark.long
@pytest.mark.skipif(not DATA.exists(), reason=f"{DATA.name} is not shipped; set EVERGREEN_EXAMPLE_DATA to its folder")
def test_two_years_of_rentals_are_predicted_within_the_aim(tmp_path: Path) -> None:
    """Somebody serves from the second week on, with an error of 45 at most; never retrained it is half as much more."""
    history, at = drive(DATA, tmp_path / "loop", None)
    assert sum(one.rows.rows_in for one in history.batches) == 17379
    assert history.promotions[0].effective_from == "2011-01-08"
    assert [one.batch for one in history.batches if one.error is None] == ["2011-01-01"]
    assert history.overall is not None
    assert history.overall <= 45
    never, _ = drive(DATA, tmp_path / "never", "never")
    assert [one.baseline for one in never.promotions] == [True, False]
    assert never.overall is not None
    assert never.overall > 1.5 * history.overall
    # 2011-03-10: the hygrometer failed for all 22 hours.
    failed = next(one for one in history.batches if one.batch == "2011-03-05")
    assert [(reason.column, reason.rows) for reason in failed.rows.reasons] == [("hum", 22)]
    # Nothing that gives the answer away was ever read.
    clean = open_stores(at, "bikes").lake.read_any("clean", "2011-03-05", 0)
    assert not {"casual", "registered", "cnt"} & set(clean.column_names)


def make_rentals(path: Path, weeks: int) -> None:
    """Rentals with the columns of the public hourly file and the same kinds of dirt, growing by the week."""
    random = np.random.default_rng(5)
    hours = pd.date_range("2011-01-01", periods=weeks * 168, freq="h")
    hour, week = hours.hour.to_numpy(), np.arange(len(hours)) // 168
    working = (hours.weekday < 5).astype(int)
    rush = np.exp(-((hour - 8) ** 2) / 4) + 1.2 * np.exp(-((hour - 17.5) ** 2) / 6)
    level = 40 + 160 * np.where(working, rush, np.exp(-((hour - 14) ** 2) / 20))
    count = random.poisson(level * (1 + 0.06 * week))
    casual = (count * 0.2).astype(int)
    rows = pd.DataFrame(
        {
            "instant": np.arange(1, len(hours) + 1),
            "dteday": hours.strftime("%d-%m-%Y"),
            "season": 1, "yr": 0, "mnth": hours.month, "hr": hour, "holiday": 0, "weekday": hours.weekday,
            "workingday": working, "weathersit": random.choice([1, 2, 3, 4], len(hours), p=[0.65, 0.25, 0.099, 0.001]),
            "temp": random.uniform(0.1, 0.9, len(hours)).round(2),
            "atemp": random.uniform(0.1, 0.9, len(hours)).round(4),
            "hum": random.uniform(0.2, 1, len(hours)).round(2),
            "windspeed": random.uniform(0, 0.5, len(hours)).round(4),
            "casual": casual, "registered": count - casual, "cnt": count,
        }
    )  # fmt: skip
    rows.loc[rows["dteday"] == "10-03-2011", "hum"] = 0.0
    rows.drop(index=random.choice(len(rows), 30, replace=False)).to_csv(path, index=False)


def test_generated_rentals_of_the_same_kind_go_through_the_same_folder(tmp_path: Path) -> None:
    file = tmp_path / "hour.csv"
    make_rentals(file, weeks=15)
    history, at = drive(file, tmp_path / "loop", None)
    assert len(history.batches) == 15
    assert len(history.promotions) >= 2, "rentals that grow by the week must be answered"
    assert all(one.rows.state == "published" for one in history.batches)
    stores = open_stores(at, "bikes")
    failed = stores.ledger.get(BatchRecord, "rows.2011-03-05")
    assert failed is not None
    assert {reason.column for reason in failed.reasons} == {"hum"}
    # Text dates were read one way only: the 3rd of April lies in the week of the 2nd of April, not in March.
    clean = stores.lake.read_any("clean", "2011-04-02", 0).to_pandas()
    assert clean["dteday"].min().isoformat() == "2011-04-02"
    assert clean["dteday"].max().isoformat() == "2011-04-08"
    # No version has read a label of a batch after the one it was decided at.
    for promotion in history.promotions:
        data = stores.ledger.get(DataRecord, promotion.data)
        assert data is not None
        assert max(p.batch for p in data.partitions) <= promotion.as_of


def test_history_is_cut_by_the_declared_date_format(tmp_path: Path) -> None:
    """Every row lands in one file, its text untouched; an unreadable date stays with the row before it."""
    model = load_model_folder(EXAMPLE)
    file = tmp_path / "hour.csv"
    make_rentals(file, weeks=3)
    text = file.read_text().replace("09-01-2011", "2011/01/09")
    file.write_text(text)
    folder = tmp_path / "landing"
    counts = split_history(model, [file], folder).rows
    assert list(counts) == ["2011-01-01", "2011-01-08", "2011-01-15"]
    landed = pd.concat([pd.read_csv(path, dtype=str) for path in sorted(folder.glob("*.csv"))], ignore_index=True)
    pd.testing.assert_frame_equal(landed, pd.read_csv(file, dtype=str))
    assert all((folder / f"bikes_{batch}.done").exists() for batch in counts)
    shutil.rmtree(folder)
