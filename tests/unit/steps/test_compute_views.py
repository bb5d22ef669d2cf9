"""Feature views: each batch once, as known at it; a version stays what it was first computed as."""

import shutil
from dataclasses import replace
from datetime import UTC, datetime

import pandas as pd
import pytest
from deltalake import DeltaTable

from evergreen.checks.sealing import declare_missing
from evergreen.config.locations import model_roots, view_roots
from evergreen.config.model_folder import load_model_folder
from evergreen.config.view_folder import load_views
from evergreen.errors import ConfigInvalid, FeaturesInvalid, ModelIncompatible, NotReady
from evergreen.features import view_values
from evergreen.features.view_values import advance_view, get_view, view_stores
from evergreen.features.views import list_values, read_latest
from evergreen.incidents import last_incident
from evergreen.records import ValuesRecord
from evergreen.replay.runner import Runner
from evergreen.steps import compute_views as step
from evergreen.steps.compute_views import compute_views
from tests.unit.small_loop import day
from tests.unit.views import VIEW_PY, VIEW_YAML, expected_values, land, view_loop, write_view


@pytest.fixture
def loop(tmp_path, monkeypatch):
    monkeypatch.setenv("EVERGREEN_FEATURES", str(tmp_path / "features"))
    monkeypatch.setenv("EVERGREEN_MODELS", str(tmp_path / "models"))
    return view_loop(tmp_path)


def take(loop, *numbers):
    for number in numbers:
        land(loop, number)
        Runner(loop.model, loop.at, sinks=()).take_in(day(number))


def compute(loop, number):
    return compute_views(loop.model, loop.at, day(number), load_views(loop.model, view_roots(), model_roots()))


def record_of(loop, number, version=1):
    return view_stores(loop.stores).ledger.get(ValuesRecord, f"zones.v{version}.{day(number)}")


def stored(loop, number, version=1):
    return view_stores(loop.stores).lake.read_any(f"@views/zones.v{version}", day(number), 0).to_pandas()


def test_a_new_view_is_computed_for_all_the_past_and_each_batch_as_known_at_it(loop):
    take(loop, 1, 2, 3, 4)
    assert compute(loop, 4) == {"zones.v1": day(4)}
    values = stored(loop, 3).set_index("zone").sort_index()
    wanted = expected_values(4, ttl=99)
    # The newest of batch 3 is all that batch 4 finds, but for zones that were not seen lately.
    found = values.loc[values.index.intersection(wanted.index), "trips"]
    assert found.to_dict() == wanted.loc[found.index, "trips"].to_dict()
    assert [p.batch for p in record_of(loop, 4).read] == [day(2), day(3), day(4)]


def test_a_backfill_gives_the_same_values_as_batch_by_batch(tmp_path, monkeypatch):
    contents = []
    for name, steps in (("at once", (5,)), ("one by one", (1, 2, 3, 4, 5))):
        monkeypatch.setenv("EVERGREEN_FEATURES", str(tmp_path / name / "features"))
        loop = view_loop(tmp_path / name)
        for number in range(1, 6):
            take(loop, number)
            if number in steps:
                compute(loop, number)
        contents.append([record_of(loop, number).content for number in range(1, 6)])
    assert contents[0] == contents[1]
    assert len(set(contents[0])) == 5


def test_a_second_run_writes_nothing(loop):
    take(loop, 1, 2)
    compute(loop, 2)
    table = view_stores(loop.stores).lake.table_uri("@views/zones.v1")
    before = DeltaTable(table).version(), record_of(loop, 2)
    compute(loop, 2)
    assert (DeltaTable(table).version(), record_of(loop, 2)) == before


def test_who_was_killed_between_record_and_values_is_made_up_for(loop, monkeypatch):
    take(loop, 1, 2)
    with monkeypatch.context() as patch:
        patch.setattr("evergreen.storage.lake.Lake.replace", lambda *a, **k: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            compute(loop, 2)
    assert record_of(loop, 1) is not None
    assert stored(loop, 1).empty
    # By whoever reads them first, or computes the next.
    view = get_view(loop.stores, "zones", 1)
    assert set(read_latest(loop.stores, view, datetime(2024, 1, 2, tzinfo=UTC))["zone"]) == set(stored(loop, 1)["zone"])
    compute(loop, 2)
    assert len(stored(loop, 1)) == record_of(loop, 1).values
    assert len(stored(loop, 2)) == record_of(loop, 2).values


def test_two_drivers_at_once_come_to_the_same(loop, monkeypatch):
    """The other one does all of it while the first has computed and not written yet."""
    take(loop, 1, 2)
    inner, met = view_values._compute, []

    def overtaken(*arguments):
        values = inner(*arguments)
        if not met:
            met.append(True)
            compute(loop, 2)
        return values

    monkeypatch.setattr(view_values, "_compute", overtaken)
    assert compute(loop, 2) == {"zones.v1": day(2)}
    for number in (1, 2):
        assert len(stored(loop, number)) == record_of(loop, number).values > 0


def test_a_view_of_another_models_rows_is_read_as_far_as_they_have_come(loop, tmp_path):
    shutil.copytree(tmp_path / "models" / "small", tmp_path / "models" / "other")
    folder = tmp_path / "models" / "other" / "config.yaml"
    folder.write_text(folder.read_text() + "features: {views: {zones: 1}}\n")
    other = replace(loop, model=load_model_folder(tmp_path / "models" / "other"))
    take(loop, 1, 2)
    # Of the other's own rows nothing is asked.
    assert compute(other, 2) == {"zones.v1": day(2)}
    assert compute(other, 3) == {"zones.v1": day(2)}
    with pytest.raises(NotReady, match="the rows of batch 2024-01-03 of model small are not sealed yet"):
        compute(other, 4)
    assert compute(loop, 2) == {"zones.v1": day(2)}


def test_a_row_that_happened_after_the_batch_is_not_seen_by_it(loop, tmp_path):
    take(loop, 1)
    land(loop, 2)
    file = tmp_path / "landing" / "small" / f"rows_{day(2)}.csv"
    rows = pd.read_csv(file)
    rows.loc[:, "at"] = "2024-01-09 00:00:00"
    rows.to_csv(file, index=False)
    Runner(loop.model, loop.at, sinks=()).take_in(day(2))
    compute(loop, 2)
    assert stored(loop, 2)["at"].max() < pd.Timestamp(day(2), tz="UTC")


def test_code_that_changed_under_its_version_is_refused_and_a_new_version_runs_beside_it(loop, tmp_path):
    take(loop, 1, 2)
    compute(loop, 2)
    write_view(tmp_path, code=VIEW_PY.replace('("x", "mean")', '("x", "median")'))
    with pytest.raises(
        ConfigInvalid, match=r"view\.yaml: version: found 1, .* with another view\.py; valid: version 2"
    ):
        compute(loop, 2)
    write_view(tmp_path, VIEW_YAML.replace("ttl: 2d", "ttl: 3d").replace("lookback: 2", "lookback: 1"))
    with pytest.raises(ConfigInvalid, match="another lookback and another ttl"):
        compute(loop, 2)
    # The folder is at version 2; who declares version 1 goes on with what is on record of it.
    write_view(tmp_path, VIEW_YAML.replace("version: 1", "version: 2"), VIEW_PY.replace('"mean"', '"median"'))
    take(loop, 3)
    assert compute(loop, 3) == {"zones.v1": day(3)}
    newer = loop.using(features={"views": {"zones": 2}})
    assert compute(newer, 3) == {"zones.v2": day(3)}
    first, second = stored(loop, 3), stored(loop, 3, 2)
    assert (first["trips"] == second["trips"]).all()
    assert not (first["mean_x"] == second["mean_x"]).all()


def test_a_version_that_is_nowhere_is_told(loop, tmp_path):
    take(loop, 1)
    with pytest.raises(ConfigInvalid, match=r"views\.zones: found version 3, .*features/zones has version 1; valid"):
        compute(loop.using(features={"views": {"zones": 3}}), 1)
    with pytest.raises(
        ConfigInvalid, match=r"views\.zone: found version 1, .*EVERGREEN_FEATURES names has no such view"
    ):
        compute(loop.using(features={"views": {"zone": 1}}), 1)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (("source: small", "source: smal"), r"view\.yaml: source: found 'smal'; .*there are: small"),
        (
            ("key: [zone]", "key: [zone, zone]"),
            r"view\.yaml: .*key, event_time: found zone, zone, at; valid: each column",
        ),
        (("key: [zone]", "key: [at]"), r"key, event_time: found at, at; valid: each column once"),
        (("key: [zone]", "key: [zon]"), r"found 'zon', no column of small; did you mean zone\?"),
        (("event_time: at", "event_time: x"), "event_time: found 'x'; valid: a timestamp or date column of small"),
        (("ttl: 2d", "ttl: forever"), "ttl: found forever; valid: a duration such as 30d"),
        (("ttl: 2d", "tll: 2d"), r"tll: unknown field; did you mean ttl\?"),
        (("trips: integer", "zone: integer"), "columns: found 'zone', which is a key, a time or our own"),
        (("source: small", "source: smal"), "no model folder 'smal'"),
    ],
)
def test_a_mistake_in_view_yaml_is_told_with_file_and_field(loop, tmp_path, changed, told):
    write_view(tmp_path, VIEW_YAML.replace(*changed))
    with pytest.raises(Exception, match=told):
        compute(loop, 1)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("return 1 / 0", "raised ZeroDivisionError"),
        ("return 7", "returned int; expected a DataFrame"),
        ("return rows[['zone', 'at']]", "returned columns zone, at; expected zone, at, trips, mean_x"),
        (
            "return rows.groupby('zone').agg(at=('at', 'max'), trips=('x', 'size')).reset_index()"
            ".assign(mean_x=float('-inf'))",
            "column mean_x: found inf; expected finite numbers, NaN where there is none",
        ),
        ("return rows.assign(trips=1, mean_x=0.5, zone=None)[NAMES]", "column zone: found a null"),
        (
            "return rows.assign(trips=1, mean_x=0.5, at=rows['at'].max(), zone='a')[NAMES]",
            "two values of .*'zone': 'a'",
        ),
        ("return rows.head(1).assign(trips=1, mean_x=0.5, zone=[[1]])[NAMES]", "column zone: found object: .*expected"),
        ("return rows.head(1).assign(trips=1.5, mean_x=0.5)[NAMES]", "column trips: found float64: .*expected integer"),
        (
            "return rows.head(1).assign(trips='many', mean_x=0.5)[NAMES]",
            "column trips: found object: .*expected integer",
        ),
        (
            "return rows.head(1).assign(trips=1, mean_x=1.0, at=pd.Timestamp('2031-01-01'))[NAMES]",
            "column at: found 2031-01-01 00:00:00; expected a time before the batch's end 2024-01-02",
        ),
    ],
)
def test_code_that_breaks_its_contract_is_told_with_view_batch_and_column(loop, tmp_path, body, told):
    names = "import pandas as pd\nNAMES = ['zone', 'at', 'trips', 'mean_x']\n\n\n"
    write_view(tmp_path, code=f"{names}def build_view(rows):\n    {body}\n")
    take(loop, 1)
    with pytest.raises(FeaturesInvalid, match=f"view zones version 1, view.py, build_view on batch {day(1)}.*{told}"):
        compute(loop, 1)
    assert record_of(loop, 1) is None
    write_view(tmp_path)
    assert compute(loop, 1) == {"zones.v1": day(1)}


def test_code_with_chance_in_it_is_refused_where_it_has_to_agree_with_what_is_on_record(loop, tmp_path, monkeypatch):
    write_view(
        tmp_path,
        code="import random\n" + VIEW_PY.replace('("x", "mean"))', '("x", "mean")).assign(mean_x=random.random())'),
    )
    take(loop, 1)
    with monkeypatch.context() as patch:
        patch.setattr("evergreen.storage.lake.Lake.replace", lambda *a, **k: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            compute(loop, 1)
    with pytest.raises(FeaturesInvalid, match="other values of batch 2024-01-01 than before, from the same rows"):
        compute(loop, 1)


def test_rows_that_lost_a_column_which_the_view_reads_are_refused(loop, tmp_path):
    take(loop, 1)
    compute(loop, 1)
    rows = loop.model.config.rows.model_dump(mode="json", exclude_unset=True)
    rows["columns"] = {"id": "integer", "at": "timestamp", "zone": "category"}
    fewer = loop.using(rows=rows)
    take(fewer, 2)
    view = get_view(loop.stores, "zones", 1)
    with pytest.raises(ModelIncompatible, match=r"rows of batch 2024-01-02 of model small have no column x \(float\)"):
        advance_view(view, loop.stores, 1)


def test_a_model_whose_rows_lack_the_key_is_refused(loop, tmp_path):
    take(loop, 1)
    compute(loop, 1)
    shutil.rmtree(tmp_path / "features")
    rows = loop.model.config.rows.model_dump(mode="json", exclude_unset=True)
    rows["columns"] = {"id": "integer", "at": "timestamp", "zone": "integer", "x": "float"}
    with pytest.raises(
        ModelIncompatible, match=r"keyed by zone; rows\.columns .* zone: found integer, expected string"
    ):
        compute(loop.using(rows=rows), 1)


def test_what_is_not_sealed_is_waited_for(loop):
    take(loop, 1, 2)
    assert compute(loop, 3) == {"zones.v1": day(2)}
    with pytest.raises(NotReady, match="view zones version 1: the rows of batch 2024-01-03 of model small are not"):
        compute(loop, 4)


@pytest.mark.parametrize(
    ("moment", "read"),
    [
        (datetime(2024, 1, 4, tzinfo=UTC), [2, 3]),
        # A reader whose batches are hours, or begin at another hour: what had ended by then, and may not be too old.
        (datetime(2024, 1, 4, 5, tzinfo=UTC), [2, 3]),
        (datetime(2024, 1, 3, 23, tzinfo=UTC), [1, 2]),
        (datetime(2024, 1, 1, 23, tzinfo=UTC), []),
    ],
)
def test_a_batch_reads_what_had_ended_before_it(loop, moment, read):
    take(loop, 1, 2, 3, 4)
    compute(loop, 4)
    assert [p.batch for p in list_values(loop.stores, {"zones": 1}, moment)] == [day(number) for number in read]


def test_what_a_batch_needs_is_computed_as_it_is_read_and_told_where_it_cannot_be(loop):
    with pytest.raises(NotReady, match=r"view zones version 1 was not computed yet; declare it under features\.views"):
        list_values(loop.stores, {"zones": 1}, datetime(2024, 1, 3, tzinfo=UTC))
    take(loop, 1)
    compute(loop, 1)
    with pytest.raises(NotReady, match="view zones version 1: the rows of batch 2024-01-02 of model small are not"):
        list_values(loop.stores, {"zones": 1}, datetime(2024, 1, 3, tzinfo=UTC))
    take(loop, 2)
    read = list_values(loop.stores, {"zones": 1}, datetime(2024, 1, 3, tzinfo=UTC))
    assert [p.batch for p in read] == [day(1), day(2)]


def test_every_part_of_a_definition_is_held_against_its_record():
    told = {field for field in step.ViewRecord.model_fields if field not in step.ViewRecord.__mro__[1].model_fields}
    assert told - set(step._PARTS) == {"view", "version", "every", "start", "time_limit"}


def test_a_view_whose_values_have_all_grown_too_old_is_told_until_one_is_young_enough(loop):
    take(loop, 1)
    assert compute(loop, 1) == {"zones.v1": day(1)}
    assert last_incident(loop.stores.ledger, "stale-views") is None
    for number in (2, 3, 4):
        # Its rows do not come any more: those of the first day are of use until the end of the third.
        for feed in ("rows", "labels"):
            declare_missing(loop.model, loop.at, feed, day(number))
        compute(loop, number)
        told = last_incident(loop.stores.ledger, "stale-views")
        assert (told is not None) == (number >= 3)
    assert told.opened.told == (
        f"small: as batch {day(3)} ends, view zones version 1 from small: no value is younger than 2 days. The next "
        "batch finds nulls in their place, and is scored with them. Look whether rows of small come and are sealed: "
        "`evergreen views`."
    )
    assert (told.seen.as_of, told.resolved) == (day(4), None)
    take(loop, 5)
    compute(loop, 5)
    assert last_incident(loop.stores.ledger, "stale-views").resolved.as_of == day(5)
