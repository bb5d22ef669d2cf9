"""The columns change: what maps goes on, what does not begins a generation beside the champion, nothing crashes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder, load_model_folder
from evergreen.demo.stream import DemoStream
from evergreen.errors import SchemaChanged
from evergreen.features.building import build_features
from evergreen.features.labelled import standing_claim
from evergreen.features.packing import packing_folder, rebuild_model
from evergreen.incidents import last_incident
from evergreen.records import (
    ApprovalRecord,
    AttemptRecord,
    BatchRecord,
    ClaimRecord,
    ClosingRecord,
    DataRecord,
    PromotionRecord,
    VerdictRecord,
)
from evergreen.replay.measured_history import collect_history
from evergreen.replay.runner import Runner
from evergreen.storage.ledger import Ledger
from evergreen.storage.stores import open_stores
from tests.short_loop import land, load_version, records, run, short_model

STREAM = DemoStream(trips=150, batches=12, broken=(), shifted=(0, 0), changed=6, slowdown=2.0)
BEFORE = 5


def day(number: int) -> str:
    return f"2024-01-{number:02d}"


def begin(folder: Path, **changes: Any) -> tuple[ModelFolder, Locations, Ledger]:
    """A short loop with a champion that has scored a batch."""
    model, at = short_model(folder, **changes), Locations.under(folder)
    run(model, at, *range(1, BEFORE + 1), stream=STREAM)
    ledger = open_stores(at, model.id).ledger
    assert ledger.get(PromotionRecord, "champion") is not None
    return model, at, ledger


def change(model: ModelFolder, edit: Callable[[dict[str, Any]], None], **texts: str) -> ModelFolder:
    """The folder under an edited config.yaml, with texts put in others' places in features.py and expectations.yaml."""
    config = yaml.safe_load((model.path / "config.yaml").read_text())
    edit(config)
    (model.path / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    for name in ("features.py", "expectations.yaml"):
        text = (model.path / name).read_text()
        for old, new in texts.items():
            text = text.replace(old, new)
        (model.path / name).write_text(text)
    return load_model_folder(model.path)


def rename_columns(columns: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """Columns under new names, each saying the old one."""
    renamed = {}
    for name, column in columns.items():
        declared = {"type": column} if isinstance(column, str) else {"type": "timestamp", "format": column["timestamp"]}
        renamed[names.get(name, name)] = declared | {"renamed_from": name} if name in names else column
    return renamed


def deliver(model: ModelFolder, at: Locations, *numbers: int, names: dict[str, str] | None = None) -> None:
    """Batches arrive with other column names and go through the loop."""
    for number in numbers:
        land(model, at, number, stream=STREAM)
        folder = Path(at.landing) / model.id
        for name in (f"green_{day(number)}.csv.gz", f"labels_{day(number)}.csv"):
            rows = pd.read_csv(folder / name, dtype=str, keep_default_na=False)
            rows.rename(columns=names or {}).to_csv(folder / name, index=False)
        Runner(model, at, sinks=()).run_batch(day(number))


def attempts(ledger: Ledger, upto: int = 12) -> list[AttemptRecord]:
    return [one for n in range(1, upto + 1) for one in ledger.all(AttemptRecord, f"{day(n)}.0")]


def verdict_at(ledger: Ledger, number: int) -> VerdictRecord:
    verdict = ledger.get(VerdictRecord, day(number))
    assert verdict is not None
    return verdict


def clean_read(ledger: Ledger, data: str) -> set[str]:
    record = ledger.get(DataRecord, data)
    assert record is not None
    return {p.batch for p in record.partitions if p.table == "clean"}


def test_renamed_columns_key_and_event_time_go_on_as_if_nothing_were(tmp_path: Path) -> None:
    """The run under new names, from batch 6 on, decides what the run under the old names does."""
    names = {
        "trip_id": "ride_id",
        "trip_distance": "miles",
        "lpep_pickup_datetime": "picked_up",
        "payment_type": "paid",
    }
    gate = {"metric": "mae", "min_rows": 50, "slices": {"payment_type": {"may_worsen": "50%"}}}
    plain, there, kept = begin(tmp_path / "plain", gate=gate)
    deliver(plain, there, 6, 7, 8, 9)
    model, at, ledger = begin(tmp_path / "renamed", gate=gate)
    promotion = ledger.get(PromotionRecord, "champion")
    assert promotion is not None
    stores = open_stores(at, model.id)
    claim = standing_claim(stores, day(BEFORE))
    packed = load_version(stores, 1)
    served = packed.predict_features(build_features(model.config.data_schema, stores, packed, claim).features)
    before = records(model, at)

    def edit(config: dict[str, Any]) -> None:
        config["rows"] |= {"key": ["ride_id"], "event_time": "picked_up"}
        config["rows"]["columns"] = rename_columns(config["rows"]["columns"], names)
        config["labels"]["key"] = ["ride_id"]
        config["gate"]["slices"] = {"paid": {"may_worsen": "50%"}}

    renamed = change(model, edit, **names)
    deliver(renamed, at, 6, 7, 8, 9, names=names)
    for number in (6, 7, 8, 9):
        ours, theirs = verdict_at(ledger, number), verdict_at(kept, number)
        assert ours.reasons == theirs.reasons
        assert ours.outcomes.numbers == theirs.outcomes.numbers
        assert ours.inputs.state == theirs.inputs.state
        assert [one.version for one in ledger.all(ClaimRecord, day(number))] == [
            one.version for one in kept.all(ClaimRecord, day(number))
        ]
    ours, theirs = attempts(ledger), attempts(kept)
    assert [(one.id, one.outcome, one.training_rows) for one in ours] == [
        (one.id, one.outcome, one.training_rows) for one in theirs
    ]
    assert len(ours) > 1
    second, same = ours[-1].judgement, theirs[-1].judgement
    assert second is not None
    assert same is not None
    assert (second.rows, second.champion, second.challenger) == (same.rows, same.champion, same.challenger)
    assert {one.column for one in second.slices} == {"paid"}
    after = records(renamed, at)
    assert {name: after[name] for name in before} == before
    # Version 1, from its record, with the folder as it is now.
    with packing_folder() as folder:
        rebuilt = rebuild_model(renamed, stores, promotion, folder).packed
        again = build_features(renamed.config.data_schema, stores, packed, claim).features
        assert np.array_equal(rebuilt.predict_features(again), served)
    history = collect_history(renamed, at, day(1), day(9))
    assert history.overall == pytest.approx(collect_history(plain, there, day(1), day(9)).overall)


def test_a_default_stands_in_for_what_was_not_there_and_is_no_new_generation(tmp_path: Path) -> None:
    model, at, ledger = begin(tmp_path)

    def edit(config: dict[str, Any]) -> None:
        config["rows"]["columns"]["tolls"] = {"type": "float", "default": 2.5}

    text = '            "passengers":'
    grown = change(model, edit, **{text: '            "tolls": batch["tolls"],\n' + text})
    deliver(grown, at, *range(6, 12))
    sealed = ledger.get(BatchRecord, f"rows.{day(6)}")
    assert sealed is not None
    assert sealed.state == "published"
    assert [(r.column, r.found) for r in sealed.reasons if r.expectation == "default"] == [
        ("tolls", "no such column, filled with 2.5")
    ]
    assert all("bootstrap" not in verdict_at(ledger, n).reasons for n in range(6, 12))
    second = ledger.get(PromotionRecord, "champion", 1)
    assert second is not None
    assert day(BEFORE) in clean_read(ledger, second.data)
    stores = open_stores(at, model.id)
    packed = stores.models.load_promoted(second)
    old = build_features(grown.config.data_schema, stores, packed, standing_claim(stores, day(3))).features
    assert set(old["tolls"]) == {2.5}


def test_a_column_that_the_past_lacks_begins_a_generation_beside_the_champion(tmp_path: Path) -> None:
    model, at, ledger = begin(tmp_path)

    def edit(config: dict[str, Any]) -> None:
        config["rows"]["columns"]["fare_amount"] = "float"

    text = '            "passengers":'
    grown = change(model, edit, **{text: '            "fare": batch["fare_amount"],\n' + text})
    deliver(grown, at, *range(6, 12))
    asked = {n: verdict_at(ledger, n) for n in range(6, 12)}
    bootstraps = [n for n, verdict in asked.items() if "bootstrap" in verdict.reasons]
    assert len(bootstraps) == 1, {n: (v.reasons, v.action) for n, v in asked.items()}
    first = bootstraps[0]
    # The concept changed with the columns: the champion decays, and nothing is asked before there is enough to learn.
    assert asked[first].action == "retrain"
    assert any("decay" in asked[n].reasons for n in range(6, first))
    assert {asked[n].action for n in range(6, first)} == {"none"}
    assert all(asked[n].outcomes.state != "provisional" for n in range(7, first))
    # Its rows are compared as ever, though a reference of three batches tells little.
    assert all(asked[n].inputs.numbers["columns"] for n in range(6, first))
    (attempt,) = [one for one in attempts(ledger) if one.verdict == asked[first].id][:1]
    assert attempt.judgement is not None
    assert attempt.judgement.against == "version 1"
    assert attempt.outcome == "passed", attempt.why
    assert min(clean_read(ledger, attempt.data)) == day(6)
    claims = [ledger.last(ClaimRecord, day(n)) for n in range(6, 12)]
    assert {claim.version for claim in claims[: first - 5] if claim} == {1}
    assert claims[-1] is not None
    assert claims[-1].version == 2
    assert collect_history(grown, at, day(1), day(11)).batches[BEFORE - 1].error is not None


def test_a_column_that_is_gone_leaves_the_word_to_a_human(tmp_path: Path) -> None:
    model, at, ledger = begin(tmp_path)

    def edit(config: dict[str, Any]) -> None:
        del config["rows"]["columns"]["passenger_count"]

    text = (model.path / "features.py").read_text()
    line = next(one for one in text.splitlines() if '"passengers"' in one)
    expected = "  - expect_column_values_to_be_between: {column: passenger_count, min_value: 0, max_value: 9}\n"
    present = "  - expect_column_values_to_not_be_null: {column: passenger_count, mostly: 0.8, severity: critical}\n"
    grown = change(model, edit, **{line + "\n": "", expected: "", present: ""})
    deliver(grown, at, 6, 7)
    asked = verdict_at(ledger, 6)
    assert (asked.reasons[0], asked.action) == ("bootstrap", "retrain")
    claim = ledger.last(ClaimRecord, day(6))
    assert claim is not None
    assert claim.version is None
    assert "passenger_count (integer)" in claim.why
    told = last_incident(ledger, "unscored")
    assert told is not None
    assert told.resolved is None
    (attempt,) = [one for one in attempts(ledger) if one.verdict == asked.id]
    assert attempt.judgement is not None
    assert attempt.judgement.against.startswith("the constant")
    assert attempt.outcome == "needs approval"
    assert "passenger_count" in attempt.why
    ledger.put(ApprovalRecord(as_of=attempt.as_of, attempt=attempt.id, approved=True, by="a person"))
    Runner(grown, at, sinks=()).retrain()
    closing = ledger.get(ClosingRecord, asked.id)
    assert closing is not None
    assert closing.outcome == "promoted"
    deliver(grown, at, 8)
    claim = ledger.last(ClaimRecord, day(8))
    assert claim is not None
    assert claim.version == 2
    told = last_incident(ledger, "unscored")
    assert told is not None
    assert told.resolved is not None
    assert "bootstrap" not in verdict_at(ledger, 8).reasons


def test_a_type_that_changes_is_told_what_to_write_and_goes_on_under_another_name(tmp_path: Path) -> None:
    model, at, ledger = begin(tmp_path)

    def retype(config: dict[str, Any]) -> None:
        config["rows"]["columns"]["passenger_count"] = "float"

    with pytest.raises(SchemaChanged, match=r"passenger_count is double, stored as int64.*renamed_from"):
        deliver(change(model, retype), at, 6)

    def rename(config: dict[str, Any]) -> None:
        del config["rows"]["columns"]["passenger_count"]
        config["rows"]["columns"]["people"] = {"type": "float", "renamed_from": "passenger_count"}

    grown = change(model, rename, passenger_count="people")
    deliver(grown, at, 6, 7)
    sealed, claim = ledger.get(BatchRecord, f"rows.{day(6)}"), ledger.get(ClaimRecord, day(6))
    assert sealed is not None
    assert sealed.state == "published"
    assert claim is not None
    assert "passenger_count (integer)" in claim.why
    assert verdict_at(ledger, 7).action == "none"
