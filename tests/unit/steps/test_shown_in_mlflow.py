"""What people read in MLflow: the live error as a series, an estimator's parameters, descriptions, a card."""

import re
from pathlib import Path

import pytest
from mlflow import MlflowClient

from evergreen.judging.model_card import write_card
from evergreen.records import CalibrationJudgement, FairnessReport, GroupReport
from evergreen.steps.check_drift import check_drift
from evergreen.steps.register_model import register_model
from tests.unit.small_loop import SmallLoop, doubled, turned

PIPELINE = """\
import numpy as np
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer


def build_estimator(seed):
    return make_pipeline(FunctionTransformer(np.log1p), Ridge(alpha=0.5, random_state=seed))
"""
TOLD = {
    "owner": "team-rides",
    "description": "For dispatch.",
    "limitations": "Not for *prices*.",
    "intended_use": "Plans of the shift.",
}
GATE = {
    "metric": "mae",
    "min_rows": 30,
    "slices": {"x": {"may_worsen": "100%", "min_rows": 1}},
    "calibration": {"min_rows": 1},
}


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """A loop of five days, whose second version was promoted at the third."""
    loop = SmallLoop.under(
        tmp_path_factory.mktemp("shown"), estimator=PIPELINE, retrain={"any": ["never"]}, gate=GATE, **TOLD
    )
    loop.run(turned, 1)
    loop.run(doubled, 2, 3, 4, 5)
    return loop


def client(loop):
    return MlflowClient(loop.at.tracking_uri, loop.at.tracking_uri)


def version_of(loop, number):
    return client(loop).get_model_version(loop.stores.models.name, str(number))


def card_of(loop, number):
    run = client(loop).get_run(version_of(loop, number).run_id)
    return Path(run.info.artifact_uri.removeprefix("file://"), "model_card.md")


def series(loop, version, name):
    return [
        (one.step, one.timestamp, one.value)
        for one in client(loop).get_metric_history(version_of(loop, version).run_id, name)
    ]


def test_the_live_error_is_a_series_on_the_run_of_who_served_once_a_check(ended):
    loop, calendar = ended, ended.model.config.calendar
    expected = {}
    for verdict in loop.verdicts:
        if "error" in verdict.outcomes.numbers:
            point = (calendar.index(verdict.as_of), int(calendar.end(verdict.as_of).timestamp() * 1000))
            expected.setdefault(verdict.version, []).append((*point, verdict.outcomes.numbers["error"]))
    assert sum(map(len, expected.values())) >= 3
    for verdict in loop.verdicts:
        check_drift(loop.model, loop.at, verdict.as_of)
    assert {number: series(loop, number, "live_mae") for number in expected} == expected
    rows = [one.outcomes.numbers["rows"] for one in loop.verdicts if "error" in one.outcomes.numbers]
    assert [value for number in expected for _, _, value in series(loop, number, "live_rows")] == rows


def test_a_check_goes_on_where_the_run_was_deleted(ended, caplog):
    verdict = next(one for one in ended.verdicts if "error" in one.outcomes.numbers)
    run = version_of(ended, verdict.version).run_id
    client(ended).delete_run(run)
    try:
        assert check_drift(ended.model, ended.at, verdict.as_of) == verdict
        assert "live error of batch" in caplog.text
    finally:
        client(ended).restore_run(run)


def test_a_run_has_the_parameters_of_its_estimator(ended):
    newest = ended.promotions[-1]
    params = client(ended).get_run(version_of(ended, newest.version).run_id).data.params
    assert params["estimator"] == "Pipeline"
    assert params["estimator.functiontransformer.func"] == "log1p"
    assert params["estimator.ridge"] == "Ridge"
    assert params["estimator.ridge.alpha"] == "0.5"
    assert params["estimator.ridge.random_state"] == params["seed"] == "7"
    assert "estimator.steps" not in params


def test_the_registered_model_says_what_it_is_for_whose_it_is_and_where_it_is_shown(ended):
    def described():
        return client(ended).get_registered_model(ended.stores.models.name).description

    assert described() == (
        "**Small**\n\nFor dispatch.\n\nOwner: team-rides\n\nIntended use: Plans of the shift.\n\n"
        "Limitations: Not for *prices*.\n\n"
        "The alias `champion` shows who serves; Evergreen's ledger decides."
    )
    newest = ended.promotions[-1]
    due = ended.due(int(newest.as_of[-2:]))
    register_model(ended.model, ended.at, due, page="http://airflow/dags/small__batch")
    assert "[Its page in Airflow](http://airflow/dags/small__batch)" in described()


def test_a_version_has_a_card_of_its_records(ended):
    newest = ended.promotions[-1]
    number = int(newest.as_of[-2:])
    attempt, card = ended.attempt(number), card_of(ended, newest.version)
    text = card.read_text()
    for told in (
        f"Small: version {newest.version} of dev.small, made at batch {newest.as_of}", "team-rides",
        "Plans of the shift.", "Not for *prices*.", "### Slices", "estimator.ridge.alpha", newest.data, newest.code,
        f"{attempt.judgement.champion:.4g}", f"{attempt.judgement.challenger:.4g}", f"passed: {attempt.why}",
        f"{newest.trained_on[0]} to {newest.trained_on[1]}", "| x", "float",
    ):  # fmt: skip
        assert told in text, told
    # A run that was killed before the card was there writes the same; one that finds it, whatever config.yaml says by
    # now, leaves it.
    card.unlink()
    register_model(ended.model, ended.at, ended.due(number))
    assert card.read_text() == text
    register_model(ended.using(owner="team-other").model, ended.at, ended.due(number))
    assert card.read_text() == text


def test_a_card_tells_calibration_and_groups_where_they_were_judged(ended):
    newest, models = ended.promotions[-1], ended.stores.models
    attempt, run = ended.attempt(int(newest.as_of[-2:])), version_of(ended, newest.version).run_id
    group = GroupReport(value="a|b", rows=9, champion={"mean error": 0.1}, challenger={"mean error": 0.2})
    gaps = {"champion_gap": {"mean error": 0.31}, "challenger_gap": {"mean error": 0.42}}
    fairness = FairnessReport(column="zone", groups=(group,), **gaps, left_out_groups=0, left_out_rows=0)
    calibration = CalibrationJudgement(rows=77, champion=0.051, challenger=0.062, worse_by=0.011, passed=True)
    judged = attempt.judgement.model_copy(update={"calibration": calibration, "fairness": (fairness,)})
    record = attempt.model_copy(update={"judgement": judged})
    packed = models.load_promoted(newest)
    card = write_card(ended.model.config, ended.stores, record, newest.version, run, packed)
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)][1:-1] for line in card.splitlines()]
    assert ["error on 77 rows", "0.051", "0.062"] in rows
    assert ["zone=a\\|b", "9", "mean error", "0.1", "0.2"] in rows
    assert ["zone, largest gap", "", "mean error", "0.31", "0.42"] in rows


def test_the_card_of_a_baseline_says_so(ended):
    first = ended.promotions[0]
    card = card_of(ended, first.version).read_text()
    assert "It is the best constant: no feature was found to tell more." in card
    assert "It was not compared on labels with what served before." in card
