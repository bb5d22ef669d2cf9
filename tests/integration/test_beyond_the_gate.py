"""What the gate cannot cover: no labels, broken code, a contract that moved. The loop says so and goes on."""

from pathlib import Path

import yaml

from evergreen.config.locations import Locations
from evergreen.config.model_folder import load_model_folder
from evergreen.incidents import last_incident
from evergreen.records import (
    ApprovalRecord,
    AttemptRecord,
    ClaimRecord,
    ClosingRecord,
    PromotionRecord,
    VerdictRecord,
)
from evergreen.replay.runner import Runner
from evergreen.storage.stores import open_stores
from tests.short_loop import begun, land, run, short_model

FOREST = """
from sklearn.ensemble import IsolationForest


def build_estimator(seed):
    return IsolationForest(n_estimators=10, random_state=seed)
"""


def test_without_labels_nothing_is_promoted_until_a_human_says_yes(tmp_path: Path) -> None:
    model, at = short_model(tmp_path, labels="none"), Locations.under(tmp_path)
    (model.path / "estimator.py").write_text(FOREST)
    expectations = yaml.safe_load((model.path / "expectations.yaml").read_text())
    (model.path / "expectations.yaml").write_text(yaml.safe_dump({"rows": expectations["rows"]}))
    model = load_model_folder(model.path)
    run(model, at, *range(1, 7))
    ledger = open_stores(at, model.id).ledger
    asked = next(
        verdict
        for number in range(1, 7)
        if (verdict := ledger.get(VerdictRecord, model.config.calendar.name(number - 1)))
        and verdict.action == "retrain"
    )
    attempt = ledger.get(AttemptRecord, asked.id, 0)
    assert attempt is not None
    assert attempt.outcome == "needs approval"
    assert ledger.get(PromotionRecord, "champion", 0) is None
    assert last_incident(ledger, "approval") is not None
    ledger.put(ApprovalRecord(as_of=attempt.as_of, attempt=attempt.id, approved=True, by="a person"))
    Runner(model, at, sinks=()).retrain()
    promotion = ledger.get(PromotionRecord, "champion", 0)
    assert promotion is not None
    assert promotion.effective_from == "2024-01-07", "after the last claimed batch, however old the attempt is"
    run(model, at, 7)
    claim = ledger.get(ClaimRecord, "2024-01-07")
    assert claim is not None
    assert claim.version == 1


def test_a_human_who_says_no_withdraws_the_verdict(tmp_path: Path) -> None:
    gate = {"metric": "mae", "min_rows": 50, "approval": "required"}
    model, at = short_model(tmp_path, gate=gate), Locations.under(tmp_path)
    run(model, at, *range(1, 5))
    ledger = open_stores(at, model.id).ledger
    attempt = ledger.get(AttemptRecord, "2024-01-04.0", 0)
    assert attempt is not None
    assert attempt.outcome == "needs approval"
    assert attempt.judgement is not None
    ledger.put(ApprovalRecord(as_of=attempt.as_of, attempt=attempt.id, approved=False, by="a person"))
    Runner(model, at, sinks=()).retrain()
    closing = ledger.get(ClosingRecord, "2024-01-04.0")
    assert closing is not None
    assert (closing.outcome, closing.why) == ("withdrawn", "a person said no")
    assert ledger.get(PromotionRecord, "champion", 0) is None


def test_training_code_that_raises_refuses_the_attempt_and_scoring_goes_on(tmp_path: Path) -> None:
    model, at = begun(tmp_path, 6)
    (model.path / "estimator.py").write_text("def build_estimator(seed):\n    raise RuntimeError('no such luck')\n")
    run(load_model_folder(model.path), at, *range(7, 11))
    ledger = open_stores(at, model.id).ledger
    claim = ledger.get(ClaimRecord, "2024-01-10")
    assert claim is not None
    # The champion serves, or its own code and recipe fitted anew.
    first, *later = ledger.all(PromotionRecord, "champion")
    assert claim.version in {one.version for one in (first, *later)}
    assert all(one.refreshes is not None and one.code == first.code for one in later)
    refused = last_incident(ledger, "unfit")
    assert refused is not None
    assert "estimator.py" in refused.opened.told
    assert "no such luck" in refused.opened.told


def test_a_champion_whose_columns_are_gone_scores_nothing_and_says_which(tmp_path: Path) -> None:
    model, at = begun(tmp_path, 5)
    config = yaml.safe_load((model.path / "config.yaml").read_text())
    del config["rows"]["columns"]["payment_type"]
    (model.path / "config.yaml").write_text(yaml.safe_dump(config))
    expected = yaml.safe_load((model.path / "expectations.yaml").read_text())
    expected["rows"] = [one for one in expected["rows"] if "payment_type" not in str(one)]
    (model.path / "expectations.yaml").write_text(yaml.safe_dump(expected))
    land(model, at, 6)
    Runner(load_model_folder(model.path), at, sinks=()).run_batch("2024-01-06")
    ledger = open_stores(at, model.id).ledger
    claim = ledger.get(ClaimRecord, "2024-01-06")
    assert claim is not None
    assert claim.version is None
    assert "payment_type (category)" in claim.why
    told = last_incident(ledger, "unscored")
    assert told is not None
    assert "Mend the columns" in told.opened.told
