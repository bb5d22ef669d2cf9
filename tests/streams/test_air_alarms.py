"""The air at twelve stations: four years of monthly batches with strong seasons and gaps, and hardly any change."""

import os
from pathlib import Path

import pandas as pd
import pytest

from evergreen.checks.reference import build_reference
from evergreen.checks.thresholds import RECENT
from tests.tallied import judge_columns

ROOT = Path(__file__).parent.parent.parent
DATA = Path(os.environ.get("EVERGREEN_EXAMPLE_DATA", ROOT.parent / "shared" / "data")) / "air.csv.gz"
CATEGORICAL = {"wd", "station"}
COLUMNS = ["SO2", "NO2", "CO", "O3", "TEMP", "PRES", "DEWP", "RAIN", "wd", "WSPM", "station"]
WINDOW = 12


@pytest.mark.skipif(not DATA.exists(), reason=f"{DATA.name} is not shipped; set EVERGREEN_EXAMPLE_DATA to its folder")
@pytest.mark.parametrize("every", [4, 100], ids=["a new champion each four months", "one champion"])
def test_no_month_of_three_years_raises_an_alarm(every: int) -> None:
    rows = pd.read_csv(DATA, usecols=[*COLUMNS, "event_time"], parse_dates=["event_time"])
    at = rows["event_time"].dt.tz_localize("UTC")
    month = at.dt.strftime("%Y-%m").astype("category").cat.codes
    last = int(month.max())
    assert last == WINDOW + 35
    references = {}
    for made in range(WINDOW, last + 1, every):
        learnt = month.between(made - WINDOW, made - 1)
        size = int(month[learnt].value_counts().median())
        references[made] = build_reference(
            rows[learnt], CATEGORICAL, COLUMNS, month[learnt].astype(str).str.zfill(2), size, 1, at=at[learnt]
        )
    alarms = []
    for now in range(WINDOW, last + 1):
        for since in (now, now - RECENT + 1):
            made = max((one for one in references if one <= since), default=None)
            if made is not None:
                batch = month.between(since, now)
                judged = judge_columns(references[made], rows[batch], now - made + 1, at[batch], month[batch])
                alarms += [(now, since, name) for name, one in judged.items() if one["drifted"]]
    assert alarms == []
