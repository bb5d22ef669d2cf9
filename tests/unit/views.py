"""A loop whose model reads a feature view: forty rows a day of five zones, of which some arrive a day or two late."""

from pathlib import Path

import numpy as np
import pandas as pd

from evergreen.replay.runner import Runner
from tests.unit.small_loop import SmallLoop, day

VIEW_YAML = """\
version: 1
source: small
lookback: 2
key: [zone]
event_time: at
reads: [x]
columns: {trips: integer, mean_x: float}
ttl: 2d
"""
VIEW_PY = """\
def build_view(rows):
    zones = rows.groupby("zone")
    return zones.agg(at=("at", "max"), trips=("x", "size"), mean_x=("x", "mean")).reset_index()
"""
FEATURES = """\
def build_features(batch, history):
    return batch[["x", "zones.trips", "zones.mean_x"]].fillna(-1.0)
"""
ROWS = {
    "key": ["id"],
    "event_time": "at",
    "columns": {"id": "integer", "at": "timestamp", "zone": "category", "x": "float"},
}
# Hours before its midnight at which happened what comes to a day late.
LATE = (-20, -40)


def make_arrivals(number: int) -> pd.DataFrame:
    """What arrives on a day: most of it happened then, every tenth row a day or two before."""
    random, n = np.random.default_rng(number), 40
    hours = np.where(np.arange(n) % 10 == 9, random.choice(LATE, n), random.integers(0, 24, n))
    at = pd.Timestamp(day(1)) + pd.to_timedelta(24 * (number - 1) + hours, unit="h")
    # The fifth zone is seen on every fifth day alone: what is known of it grows too old.
    zone = random.choice(list("abcde" if number % 5 == 1 else "abcd"), n)
    x = random.normal(0, 1, n).round(6)
    y = 10 + 2 * x + random.normal(0, 1, n)
    return pd.DataFrame({"id": np.arange(n) + 1000 * number, "at": at, "zone": zone, "x": x, "y": y})


def expected_values(number: int, lookback: int = 2, ttl: int = 2) -> pd.DataFrame:
    """What a batch's rows should find, counted anew from the raw rows: by zone, what had arrived before."""
    begins, known = pd.Timestamp(day(number)), []
    for before in range(1, number):
        arrived = pd.concat([make_arrivals(one) for one in range(max(1, before - lookback), before + 1)])
        zones = arrived.groupby("zone").agg(at=("at", "max"), trips=("x", "size"), mean_x=("x", "mean"))
        known.append(zones.reset_index().assign(before=before))
    if not known:
        return pd.DataFrame({"at": [], "trips": [], "mean_x": []})
    newest = pd.concat(known).sort_values(["at", "before"]).groupby("zone").tail(1).set_index("zone")
    return newest[newest["at"] >= begins - pd.Timedelta(days=ttl)][["at", "trips", "mean_x"]]


def expected_features(number: int) -> pd.DataFrame:
    """The features of a batch, counted anew, in the order of its keys."""
    rows, values = make_arrivals(number).sort_values("id"), expected_values(number)
    found = values.reindex(rows["zone"])
    return pd.DataFrame(
        {
            "x": rows["x"].to_numpy(),
            "zones.trips": found["trips"].to_numpy(dtype=float),
            "zones.mean_x": found["mean_x"].to_numpy(dtype=float),
        }
    ).fillna(-1.0)


def view_loop(place: Path, view: str = VIEW_YAML, code: str = VIEW_PY, features: str = FEATURES) -> SmallLoop:
    """A new loop with its view."""
    write_view(place, view, code)
    return SmallLoop.under(place, features=features, rows=ROWS).using(
        features={"views": {"zones": 1}}, retrain={"any": [{"every": 4}]}
    )


def write_view(place: Path, view: str = VIEW_YAML, code: str = VIEW_PY, name: str = "zones") -> Path:
    """Write a view's folder beside the models."""
    folder = place / "features" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "view.yaml").write_text(view)
    (folder / "view.py").write_text(code)
    return folder


def land(loop: SmallLoop, number: int) -> None:
    """Let a day's rows arrive."""
    folder = Path(loop.at.landing) / loop.model.id
    folder.mkdir(parents=True, exist_ok=True)
    make_arrivals(number).to_csv(folder / f"rows_{day(number)}.csv", index=False)
    (folder / f"rows_{day(number)}.done").touch()


def run(loop: SmallLoop, *numbers: int) -> None:
    """Let days arrive, and take them through the whole loop."""
    for number in numbers:
        land(loop, number)
        Runner(loop.model, loop.at, sinks=()).run_batch(day(number))
