"""Whether rows came; the inputs that a check compares: those the champion knows, less what is left out today."""

import pytest

from evergreen.checks import kept_statistics
from evergreen.checks.kept_statistics import keep_statistics, write_predicted
from evergreen.checks.sections import check_freshness, check_inputs, check_predictions
from evergreen.config.fields import ColumnType
from evergreen.config.locations import Locations
from evergreen.demo.stream import DemoStream
from evergreen.features import reading
from evergreen.features.reading import published
from evergreen.judging import champion
from evergreen.judging.promotions import promotion_decided
from evergreen.records import BatchRecord, ClaimRecord, VerdictRecord
from evergreen.steps.check_drift import check_drift
from evergreen.storage import pieces
from evergreen.storage.lake import Lake
from evergreen.storage.revisions import scored_partition
from evergreen.storage.stores import open_stores
from tests.short_loop import fingerprint, run, short_model

SHIFTED = 7
STREAM = DemoStream(trips=200, batches=SHIFTED, broken=(), shifted=(SHIFTED, SHIFTED), changed=0)


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    """A loop whose last batch has groups of passengers, of which the check warned."""
    home = tmp_path_factory.mktemp("lived")
    model = short_model(home, training={"window": 3, "min_labels": 600}, retrain={"any": ["never"]})
    at = Locations.under(home)
    run(model, at, *range(1, SHIFTED + 1), stream=STREAM)
    return model, at


def ignoring(config, *names):
    return config.model_copy(update={"check": config.check.model_copy(update={"ignore": names})})


def compare(config, at, model):
    as_of = config.calendar.name(SHIFTED - 1)
    stores = open_stores(at, model.id)
    return check_inputs(config, stores, [as_of], promotion_decided(stores.ledger, as_of))


def test_a_column_that_is_ignored_since_the_promotion_warns_no_more(lived):
    model, at = lived
    before = compare(model.config, at, model)
    assert (before.state, before.numbers["drifted"]) == ("warn", ["passenger_count"])
    after = compare(ignoring(model.config, *model.config.check.ignore, "passenger_count"), at, model)
    assert after.state == "ok"
    left = {"trip_distance", "payment_type"}
    assert set(after.numbers["columns"]) == {*left, *(f"{name} missing" for name in left)}
    # What is kept of the one answer is not given for the other.
    assert compare(model.config, at, model) == before


def test_a_column_that_the_reference_does_not_describe_is_not_compared(lived):
    model, at = lived
    compared = compare(ignoring(model.config), at, model)
    assert "PULocationID" not in compared.numbers["columns"]
    assert "passenger_count" in compared.numbers["columns"]


def test_what_is_ignored_under_its_new_name_is_so_under_the_name_that_the_champion_knows(lived):
    model, at = lived
    columns = dict(model.config.rows.columns)
    kind = columns.pop("passenger_count").type
    columns["people"] = ColumnType(type=kind, renamed_from=("passenger_count",))
    renamed = model.config.model_copy(update={"rows": model.config.rows.model_copy(update={"columns": columns})})
    assert compare(renamed, at, model).numbers["drifted"] == ["passenger_count"]
    assert compare(ignoring(renamed, "people"), at, model).state == "ok"


def compare_sections(lived):
    """What is said of the inputs of one batch and of three, and of the predictions of one."""
    model, at = lived
    batches, stores = [model.config.calendar.name(n) for n in range(SHIFTED)], open_stores(at, model.id)
    promotion = promotion_decided(stores.ledger, batches[-2])
    sections = (check_inputs, batches[-1:]), (check_inputs, batches[-3:]), (check_predictions, batches[-1:])
    return [check(model.config, stores, covers, promotion) for check, covers in sections]


def test_pieces_of_a_batch_are_compared_as_the_whole_is(lived, monkeypatch):
    whole = compare_sections(lived)
    streamed, stream = [], Lake.stream
    for module in (reading, champion, pieces):
        monkeypatch.setattr(module, "ROWS", 50)
    monkeypatch.setattr(Lake, "stream", lambda lake, partition: streamed.append(partition) or stream(lake, partition))
    assert compare_sections(lived) == whole
    assert {partition.table for partition in streamed} == {"clean", "predictions"}
    assert whole[2].numbers["rows"] > 100


def test_a_check_reads_the_statistics_that_are_kept_and_no_row(lived, monkeypatch):
    model, at = lived
    whole, stores = compare_sections(lived), open_stores(at, model.id)
    batches = [model.config.calendar.name(n) for n in range(SHIFTED)]
    for module in (reading, champion, pieces, kept_statistics):
        monkeypatch.setattr(module, "ROWS", 50)
    for partition in published(stores, "rows", batches):
        rows = stores.lake.read(partition, ())
        keep_statistics(stores, partition, [rows], rows.num_rows, model.config.rows.columns, None)
    claim = stores.ledger.last(ClaimRecord, batches[-1])
    predicted = stores.lake.read(scored_partition(claim), ())
    write_predicted(stores, claim, predicted, predicted.num_rows, {})
    kept_statistics._MADE.clear()
    monkeypatch.setattr(Lake, "stream", None)
    monkeypatch.setattr(Lake, "read", None)
    assert compare_sections(lived) == whole


def test_a_verdict_that_stands_keeps_what_it_said(lived):
    model, at = lived
    as_of, then = model.config.calendar.name(SHIFTED - 1), fingerprint(model, at)
    edited = model.replace(ignoring(model.config, *model.config.check.ignore, "passenger_count"))
    verdict = check_drift(edited, at, as_of)
    assert verdict == open_stores(at, model.id).ledger.get(VerdictRecord, as_of)
    assert verdict.inputs.numbers["drifted"] == ["passenger_count"]
    assert fingerprint(model, at) == then


def test_the_last_batches_are_compared_together_with_the_version_before_them(lived):
    model, at = lived
    stores, calendar = open_stores(at, model.id), model.config.calendar
    verdicts = [stores.ledger.get(VerdictRecord, calendar.name(n)) for n in (SHIFTED - 2, SHIFTED - 1)]
    # The first version is of the fourth batch: three batches later there are three that it has not seen.
    assert promotion_decided(stores.ledger, calendar.name(SHIFTED - 1)).as_of == calendar.name(3)
    assert "recent" not in verdicts[0].inputs.numbers
    alone, recent = verdicts[1].inputs.numbers, verdicts[1].inputs.numbers["recent"]
    assert recent["rows"] > 2.5 * alone["rows"]
    assert recent["age"] == alone["age"] == 3
    assert recent["columns"]["passenger_count"]["distance"] < 0.5 * alone["columns"]["passenger_count"]["distance"]


def test_a_verdict_says_of_what_nobody_can_tell(lived):
    model, at = lived
    compared = compare(ignoring(model.config, "PULocationID", "DOLocationID", "passenger_count"), at, model)
    why = "inputs as in the reference; cannot tell of payment_type (4 whole batches learnt from, too few)"
    assert (compared.state, compared.why) == ("ok", why)
    told = compared.numbers["columns"]["payment_type"]
    assert told["threshold"] >= 0.57
    alone = compare(ignoring(model.config, "passenger_count", "trip_distance"), at, model)
    assert (alone.state, alone.why) == ("provisional", why.removeprefix("inputs as in the reference; "))


def came(model, at, *rows):
    """The freshness of the last of batches that brought so many rows; None for a batch that was rejected."""
    stores, names = open_stores(at, model.id), model.config.calendar.name
    for n, many in enumerate(rows):
        state = {"state": "rejected"} if many is None else {"state": "published", "rows_in": many, "clean": many}
        stores.ledger.put(BatchRecord(as_of=names(n), feed="rows", revision=0, **state))
    return check_freshness(model.config, stores, [names(len(rows) - 1)])


@pytest.fixture
def empty(tmp_path):
    return short_model(tmp_path), Locations.under(tmp_path)


@pytest.mark.parametrize("rows", [(300, 310, 290, 30), (100, 900, 300, None, 310, 290, 60), (*[5000] * 20, 499)])
def test_a_volume_that_falls_warns(empty, rows):
    fresh = came(*empty, *rows)
    assert fresh.state == "warn"
    assert fresh.why.startswith(f"{rows[-1]} rows in {empty[0].config.calendar.name(len(rows) - 1)}, where ")
    assert fresh.numbers["faults"] == 1
    assert fresh.numbers["usual_rows"] >= 300


@pytest.mark.parametrize(
    "rows",
    [(3,), (300, 3), (300, 310, 3), (10, 20, 30, 1), (300, 310, 290, 70), ([700, 650, 720, 640, 690, 710, 20] * 3)],
    ids=["first", "second", "third", "tiny", "less", "shut on Sundays"],
)
def test_a_volume_that_nobody_can_miss_does_not_warn(empty, rows):
    fresh = came(*empty, *rows)
    assert fresh.state == "ok"
    assert list(fresh.numbers["rows"].values()) == [rows[-1]]


def test_a_volume_counts_what_was_known_then_and_a_batch_that_did_not_come_is_told_as_that(empty):
    model, at = empty
    assert came(model, at, 300, 310, 290, None).why == f"rows of {model.config.calendar.name(3)} rejected"
    assert came(model, at, 300, 310, 290, None, 30).state == "warn"
    # The check of an earlier batch, made anew, knows nothing of the later ones.
    assert check_freshness(model.config, open_stores(at, model.id), [model.config.calendar.name(2)]).state == "ok"
