"""Each kind of fault, in the demo stream, under a policy that reacts to everything; beside each a change that is real.

All cases begin with the same seven batches, which are run once and copied. The policy asks for a retraining whenever an
input or the error lies beyond its limit, and never because time has passed.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder, load_model_folder
from evergreen.demo.stream import DemoStream
from evergreen.records import AttemptRecord, BatchRecord, ClaimRecord, PromotionRecord, VerdictRecord
from evergreen.replay.runner import Runner
from evergreen.storage.stores import Stores, open_stores
from tests.demo_faults import FAULTS, delay_file, deliver_late, land_broken
from tests.short_loop import TAXI, Told, registry, short_model

BEFORE, FAULTY, LAST = 7, 8, 10
QUIET = DemoStream(trips=150, batches=LAST + 2, broken=(), shifted=(0, 0), changed=0, seed=3)
STRICT = {"any": ["decay"]}
FILE = f"green_{QUIET.day(FAULTY)}.csv.gz"
COPY = FILE.replace(".csv", "_b.csv")
# By fault: the incident, what it must name, and the state in which the batch is sealed.
TOLD = {
    "unit change": ("fault-rows", "trip_distance: expect_column_median_to_be_between", "rejected"),
    "null burst": ("fault-rows", "passenger_count: expect_column_values_to_not_be_null", "rejected"),
    "duplicated file": ("fault-rows", f"{COPY} is a copy of {FILE}", "published"),
    "repeated file": ("fault-rows", f"{FILE} is a copy of green_{QUIET.day(BEFORE)}.csv.gz", "rejected"),
    "truncated file": ("fault-rows", f"{FILE}: batch: readable file: line 68: is not whole gzip", "rejected"),
    "truncated export": ("fault-rows", f"{FILE}: batch: readable file: line 50: its last line has 4", "rejected"),
    "late file": ("stale-rows", "no file fits green_", "missing"),
    "swapped columns": ("fault-rows", "trip_distance: expect_column_median_to_be_between", "rejected"),
    "swapped codes": ("fault-rows", "payment_type: expect_column_values_to_be_in_set", "rejected"),
    "wrong date order": ("fault-rows", "lpep_pickup_datetime: order of day and month", "rejected"),
    "empty file": ("fault-rows", f"no rows in {FILE}", "rejected"),
    "labels in other units": ("fault-labels", "trip_minutes: expect_column_median_to_be_between", "rejected"),
}
# What keeps the stream's own dirt out, row by row; of a batch as a whole it says nothing.
RANGES = {
    "rows": [
        {"expect_column_values_to_be_between": {"column": "trip_distance", "min_value": 0.1}},
        {"expect_column_values_to_be_between": {"column": "passenger_count", "max_value": 9}},
    ]
}


@dataclass(frozen=True)
class Loop:
    """One copy of the loop."""

    model: ModelFolder
    at: Locations
    told: Told

    @property
    def stores(self) -> Stores:
        return open_stores(self.at, self.model.id)

    @property
    def landing(self) -> Path:
        return Path(self.at.landing) / self.model.id

    def run(self, number: int) -> None:
        Runner(self.model, self.at, sinks=(self.told,)).run_batch(QUIET.day(number))

    def sealed(self, feed: str, number: int) -> BatchRecord:
        record = self.stores.ledger.get(BatchRecord, f"{feed}.{QUIET.day(number)}")
        assert record is not None
        return record

    def verdict(self, number: int) -> VerdictRecord:
        record = self.stores.ledger.get(VerdictRecord, QUIET.day(number))
        assert record is not None
        return record

    def scorer(self, number: int) -> int | None:
        claim = self.stores.ledger.last(ClaimRecord, QUIET.day(number))
        assert claim is not None
        return claim.version

    def promotion(self) -> PromotionRecord:
        newest = self.stores.ledger.last(PromotionRecord, "champion")
        assert newest is not None
        return newest

    def attempts(self) -> list[AttemptRecord]:
        """Those that answer the verdicts that asked since the fault."""
        asked = [self.verdict(n).id for n in range(FAULTY, LAST + 1) if self.verdict(n).action == "retrain"]
        return [one for verdict in asked for one in self.stores.ledger.all(AttemptRecord, verdict)]

    def events(self) -> list[tuple[str, str]]:
        """What was told of incidents since the fault."""
        return [(one.incident, one.event) for one in self.told.messages if not one.incident.startswith("unscored")]

    def opening(self, cause: str) -> str:
        return next(one.told for one in self.told.messages if (one.incident, one.event) == (f"{cause}.0", "opened"))


def config(name: str) -> dict[str, Any]:
    """A part of the shipped config.yaml, in which nothing is waited for."""
    return dict(yaml.safe_load((TAXI / "config.yaml").read_text())[name]) | {"wait": "0s"}


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A loop with a champion that has scored a few quiet batches."""
    home = tmp_path_factory.mktemp("begun")
    model = short_model(home, retrain=STRICT, source=config("source"), labels=config("labels"))
    loop = Loop(model, Locations.under(home), Told())
    for number in range(1, BEFORE + 1):
        QUIET.land(loop.landing, number)
        loop.run(number)
    assert loop.promotion().number == loop.scorer(BEFORE) == 1
    return home


@pytest.fixture
def loop(begun: Path, tmp_path: Path) -> Loop:
    """A copy of its state; what MLflow has logged stays where it is."""
    for part in ("lake", "landing"):
        shutil.copytree(begun / part, tmp_path / part)
    shutil.copy(begun / "mlflow.db", tmp_path)
    return Loop(short_model(begun), Locations.under(tmp_path), Told())


@pytest.fixture
def undeclared(loop: Loop, tmp_path: Path) -> Loop:
    """The same loop, of whose batches as a whole nothing is expected."""
    folder = tmp_path / "models" / "taxi"
    shutil.copytree(loop.model.path, folder)
    (folder / "expectations.yaml").write_text(yaml.safe_dump(RANGES))
    return Loop(load_model_folder(folder), loop.at, loop.told)


def run_fault(loop: Loop, kind: str, lasts: int = 1) -> None:
    """Damage batches from ``FAULTY`` on, and take two sound ones after them through the loop."""
    for number in range(FAULTY, FAULTY + lasts + 2):
        deliver_late(loop.landing)
        if number < FAULTY + lasts:
            land_broken(QUIET, loop.landing, number, kind)
        else:
            QUIET.land(loop.landing, number)
        loop.run(number)


def require_untouched(loop: Loop, before: dict[str, str], last: int) -> None:
    """Nothing was asked, tried or promoted since the fault, and what came after it was scored in quiet."""
    for number in range(FAULTY, last + 1):
        verdict = loop.verdict(number)
        assert (verdict.action, verdict.reasons, verdict.promotion) == ("none", (), 1), verdict
    assert loop.promotion().number == 1
    assert registry(loop.model, loop.at) == before
    for number in (last - 1, last):
        assert loop.scorer(number) == 1
        assert loop.verdict(number).inputs.state == "ok"


def require_apart(loop: Loop, feed: str, number: int) -> None:
    """Each row that came is clean or in quarantine with a reason; of a rejected batch none is clean."""
    sealed, lake = loop.sealed(feed, number), loop.stores.lake
    assert sealed.rows_in == sealed.clean + sealed.quarantined
    assert sealed.state == "published" or sealed.clean == 0
    if sealed.state != "missing":
        kept = lake.read_any(f"quarantine_{feed}", sealed.batch, 0).to_pandas()
        assert len(kept) == sealed.quarantined
        assert kept["reason"].ne("").all()
        assert lake.read_any("clean" if feed == "rows" else "labels", sealed.batch, 0).num_rows == sealed.clean


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_asks_for_nothing_and_names_its_place(loop: Loop, kind: str) -> None:
    before = registry(loop.model, loop.at)
    run_fault(loop, kind)
    cause, named, state = TOLD[kind]
    feed = cause.rpartition("-")[2]
    assert loop.sealed(feed, FAULTY).state == state
    require_untouched(loop, before, FAULTY + 2)
    require_apart(loop, feed, FAULTY)
    # What was rejected is lost until somebody mends it, whatever comes after it.
    events = ["opened"] if state == "rejected" else ["opened", "resolved"]
    assert loop.events() == [(f"{cause}.0", event) for event in events]
    text = loop.opening(cause)
    assert named in text
    assert f"batch {QUIET.day(FAULTY)}" in text
    assert ("Deliver the files" if kind == "late file" else "Have the source mended") in text


@pytest.mark.parametrize("kind", ["unit change", "null burst", "labels in other units"])
def test_a_fault_that_lasts_is_one_incident(loop: Loop, kind: str) -> None:
    before = registry(loop.model, loop.at)
    run_fault(loop, kind, lasts=3)
    cause = TOLD[kind][0]
    require_untouched(loop, before, FAULTY + 4)
    events = ["opened", "seen again", "seen again"]
    assert loop.events() == [(f"{cause}.0", event) for event in events]
    for number in range(FAULTY, FAULTY + 3):
        require_apart(loop, cause.rpartition("-")[2], number)


def test_the_copy_of_a_file_costs_no_row(loop: Loop) -> None:
    """The batch is published and scored from the first copy, as if there had been no second one."""
    land_broken(QUIET, loop.landing, FAULTY, "duplicated file")
    loop.run(FAULTY)
    sealed, lake = loop.sealed("rows", FAULTY), loop.stores.lake
    rows = len(QUIET.make_rows(FAULTY))
    assert sealed.rows_in == 2 * rows
    kept = lake.read_any("quarantine_rows", sealed.batch, 0).to_pandas()
    assert kept["file"].value_counts().to_dict() == {COPY: rows, FILE: sealed.quarantined - rows}
    assert lake.read_any("clean", sealed.batch, 0).num_rows == rows - kept["file"].eq(FILE).sum()
    assert loop.scorer(FAULTY) == 1


@pytest.mark.parametrize("kind", ["duplicated file", "repeated file", "wrong date order"])
def test_what_no_expectation_needs_to_say(undeclared: Loop, kind: str) -> None:
    before = registry(undeclared.model, undeclared.at)
    run_fault(undeclared, kind)
    require_untouched(undeclared, before, FAULTY + 2)
    assert TOLD[kind][1] in undeclared.opening(TOLD[kind][0])


@pytest.mark.parametrize("kind", ["unit change", "labels in other units"])
def test_without_its_expectation_the_same_fault_is_taken_for_a_change(undeclared: Loop, kind: str) -> None:
    """What shows that the tests above can fail."""
    run_fault(undeclared, kind)
    assert undeclared.attempts()


def slow_down(trips: pd.DataFrame) -> pd.DataFrame:
    """Trips take nearly twice as long."""
    return trips.assign(trip_minutes=trips["trip_minutes"] * 1.9)


def move_away(trips: pd.DataFrame) -> pd.DataFrame:
    """Trips become longer, in miles and in minutes."""
    return slow_down(trips.assign(trip_distance=(trips["trip_distance"] * 1.2).round(2)))


def fall_silent(trips: pd.DataFrame) -> pd.DataFrame:
    """One meter in seven does not count passengers; these taxis go by detours."""
    silent, minutes = np.arange(len(trips)) % 7 == 0, trips["trip_minutes"]
    counted = trips["passenger_count"].astype(object).mask(silent, "")
    return trips.assign(passenger_count=counted, trip_minutes=minutes.where(~silent, 3 * minutes))


def join_in(trips: pd.DataFrame) -> pd.DataFrame:
    """The trips of a second company, which take longer."""
    return slow_down(trips.assign(trip_id="u" + trips["trip_id"].str[1:]))


def become_few(trips: pd.DataFrame) -> pd.DataFrame:
    """A quarter of the trips is no longer made, and the others take longer."""
    return slow_down(trips.iloc[: len(trips) * 3 // 4])


def ride_in_groups(trips: pd.DataFrame) -> pd.DataFrame:
    """All pay in cash and ride in groups, which takes longer."""
    return slow_down(trips.assign(payment_type=2, passenger_count=(trips["passenger_count"] + 2).clip(upper=6)))


def start_early(trips: pd.DataFrame) -> pd.DataFrame:
    """All trips begin before ten in the morning."""
    early = trips["lpep_pickup_datetime"].str.replace(r" \d(\d:)", r" 0\1", regex=True)
    return slow_down(trips.assign(lpep_pickup_datetime=early))


@dataclass(frozen=True)
class Changed(DemoStream):
    """The demo stream with a change of the world from ``FAULTY`` on."""

    real: Callable[[pd.DataFrame], pd.DataFrame] = slow_down

    def _trips(self, number: int) -> pd.DataFrame:
        trips = super()._trips(number)
        return self.real(trips) if number >= FAULTY else trips


def land_second(stream: DemoStream, folder: Path, number: int) -> None:
    """A second file beside the batch's own, with rows and labels of its own."""
    day = QUIET.day(number)
    QUIET.land(folder, number)
    stream.make_rows(number).to_csv(folder / COPY.replace(QUIET.day(FAULTY), day), index=False)
    labels = pd.concat([QUIET.make_labels(number), stream.make_labels(number)]).drop_duplicates("trip_id")
    labels.to_csv(folder / f"labels_{day}.csv", index=False)


def land_late(stream: DemoStream, folder: Path, number: int) -> None:
    """The first file of the changed world comes a batch late."""
    deliver_late(folder)
    stream.land(folder, number)
    if number == FAULTY:
        delay_file(folder, QUIET.day(number), "")


# By fault: a change of the world in the same place, and how it lands.
TWINS: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], Callable[[DemoStream, Path, int], None]]] = {
    "unit change": (move_away, DemoStream.land),
    "null burst": (fall_silent, DemoStream.land),
    "duplicated or repeated file": (join_in, land_second),
    "truncated or empty file": (become_few, DemoStream.land),
    "late file": (slow_down, land_late),
    "swapped columns": (ride_in_groups, DemoStream.land),
    "wrong date order": (start_early, DemoStream.land),
    "labels in other units": (slow_down, DemoStream.land),
}


@pytest.mark.parametrize("kind", TWINS)
def test_a_true_change_in_the_same_place_is_answered(loop: Loop, kind: str) -> None:
    real, land = TWINS[kind]
    stream = Changed(**{one.name: getattr(QUIET, one.name) for one in fields(QUIET)}, real=real)
    for number in range(FAULTY, LAST + 1):
        land(stream, loop.landing, number)
        loop.run(number)
    assert not [incident for incident, _ in loop.events() if incident.startswith("fault")]
    sealed = {loop.sealed(feed, n).state for feed in ("rows", "labels") for n in range(FAULTY, LAST + 1)}
    assert sealed == ({"published", "missing"} if kind == "late file" else {"published"})
    checks = [loop.verdict(number) for number in range(FAULTY, LAST + 1)]
    assert any(one.inputs.state == "warn" or one.outcomes.state == "bad" for one in checks), "nobody saw it"
    attempts = loop.attempts()
    assert all(attempt.holdout[-1] >= QUIET.day(FAULTY) for attempt in attempts)
    assert loop.promotion().number == 1 + sum(attempt.outcome == "passed" for attempt in attempts)
