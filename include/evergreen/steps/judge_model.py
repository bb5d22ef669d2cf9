"""Judge a challenger."""

from datetime import datetime, timedelta

from evergreen.batches import tell_duration
from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.errors import NotReady
from evergreen.features.label_batches import label_batches
from evergreen.features.labelled import match_labels
from evergreen.incidents import MEND_CODE, report, resolve
from evergreen.judging.attempts import DueAttempt, TrainResult
from evergreen.judging.compare_challenger import Case, Finding, compare_challenger, compare_own_code
from evergreen.judging.promotions import promotion_decided
from evergreen.records import AttemptRecord, Judgement, PromotionRecord, SearchedParams, Words
from evergreen.storage.stores import Stores, stores_of


def judge_model(model: ModelFolder, at: Locations, attempt: DueAttempt, trained: TrainResult) -> AttemptRecord:
    """Judge a challenger against the champion on the holdout, and record the attempt.

    Where nobody serves it is judged against the best constant, and where it does not beat that, the constant goes on:
    the baseline. What the gate cannot cover (no labels, a champion that cannot score the rows, ``approval: required``)
    is left to a human.

    :returns: the attempt's record that stands.
    """
    stores = stores_of(model, at)
    record = stores.ledger.get(AttemptRecord, attempt.verdict)
    if record is not None:
        return record
    champion = promotion_decided(stores.ledger, attempt.as_of)
    case = Case(model, stores, attempt, trained, champion, _holdout(model, stores, attempt, trained, champion))
    finding = compare_challenger(case)
    # Told before it is recorded: once the record stands, nobody may come this way again.
    if finding.judgement is not None and trained.run is not None:
        _log(stores, trained.run, finding.judgement, model.config.calendar.end(attempt.as_of))
    if finding.is_refused_code and case.is_new_code:
        case, finding = compare_own_code(case, finding)
    record = _conclude(case, finding)
    _tell(model, stores, record, finding)
    return stores.ledger.put(record)


def _holdout(
    model: ModelFolder, stores: Stores, attempt: DueAttempt, trained: TrainResult, champion: PromotionRecord | None
) -> list[str]:
    """What follows what the challenger has learnt: config.yaml may say something else than when it was trained."""
    if trained.trained_on is None:
        return []
    holdout = label_batches(model.config.data_schema, stores, attempt.as_of, after=trained.trained_on[1])
    if champion is not None and champion.as_of >= holdout[0]:
        raise NotReady(
            f"model {model.id}: promotion {champion.number} has learnt from labels up to {champion.as_of}; "
            f"a holdout from {holdout[0]} on is not new to it. Wait for later labels"
        )
    return holdout


def _conclude(case: Case, finding: Finding) -> AttemptRecord:
    trained, models = case.trained, case.stores.models
    logged = models.run_data(trained.run) if trained.run is not None else None
    tags, metrics = (logged.tags, logged.metrics) if logged is not None else ({}, {})
    # A refresh is of the champion's code, whatever the folder says by now.
    code = case.champion.code if case.champion and trained.refresh else case.model.code_version
    begins = case.champion is None and finding.refusal is not None and _knows_labels(case)
    needs_human, passed = finding.needs_human, finding.refusal is None or begins
    if case.model.config.gate.approval == "required" and passed:
        needs_human = needs_human or "config.yaml says gate.approval: required"
    why = finding.refusal or needs_human or finding.why
    if not why and finding.judgement is not None:
        why = finding.judgement.gain
    if begins:
        why = f"the baseline serves: {why}"
    elif trained.baseline and finding.judgement is not None:
        why = f"the baseline: {why}"
    return AttemptRecord(
        as_of=case.attempt.as_of,
        verdict=case.attempt.verdict,
        trained_on=trained.trained_on,
        training_rows=trained.rows,
        waiting_rows=int(metrics.get("waiting_rows", 0)),
        window=trained.window,
        tried=trained.tried,
        data=tags.get("evergreen.data", ""),
        code=tags.get("evergreen.code", code),
        holdout=tuple(case.holdout),
        against=case.champion.number if case.champion else 0,
        judgement=finding.judgement,
        outcome="needs approval" if needs_human else "passed" if passed else "refused",
        why=why,
        baseline=begins or trained.baseline,
        freshness=finding.freshness,
        refresh=trained.refresh,
        searched=SearchedParams.model_validate(trained.searched) if trained.searched is not None else None,
        meta={"run_id": trained.run, "cpu_seconds": trained.seconds},
    )


def _knows_labels(case: Case) -> bool:
    """Whether there is a label to make a constant of."""
    schema, as_of = case.model.config.data_schema, case.attempt.as_of
    if schema.labels is None:
        return False
    return not match_labels(schema, case.stores, schema.calendar.name(0), as_of).rows.empty


def _tell(model: ModelFolder, stores: Stores, record: AttemptRecord, finding: Finding) -> None:
    """Tell what somebody has to mend or to decide; that a challenger is not better is nobody's alarm."""
    what, ledger = f"{model.id}: attempt {record.id} at batch {record.as_of}", stores.ledger
    serves = "The champion stays." if record.against else "Nobody serves."
    if record.baseline and record.outcome == "passed":
        serves = "The baseline serves."
    if finding.fault:
        why = finding.refusal or finding.why
        report(ledger, "unfit", record.as_of, Words(f"{what} has no challenger: {why}.", serves, MEND_CODE))
    elif record.outcome == "refused" or record.refresh:
        resolve(ledger, "unfit", record.as_of, f"{what} has a challenger again")
    if record.outcome == "needs approval":
        wait = model.config.gate.approval_wait
        silence = f"Without an answer within {tell_duration(wait)} the challenger is refused."
        if wait == timedelta.max:
            silence = "It waits until somebody answers."
        words = Words(
            f"{what} needs a human's yes: {record.why}.",
            f"{serves} {silence}",
            f"Look at the judgement, and answer in the Required Actions of {model.id}__retrain, task approve_model.",
        )
        report(ledger, "approval", record.as_of, words)


def _log(stores: Stores, run: str, judgement: Judgement, at: datetime) -> None:
    """Put what was judged beside the challenger in MLflow."""
    metrics = {
        "holdout_rows": float(judgement.rows),
        f"holdout_{judgement.metric}": judgement.challenger,
        f"opponent_{judgement.metric}": judgement.champion,
        "improvement": judgement.improvement,
        "improvement_expected": judgement.expected,
        "probability_worse": judgement.worse,
    }
    if (calibration := judgement.calibration) is not None:
        metrics |= {"calibration_error": calibration.challenger, "opponent_calibration_error": calibration.champion}
    stores.models.pages.add_numbers(run, metrics, at)
    if judgement.fairness:
        stores.models.pages.add_report(
            run, "fairness.json", [report.model_dump(mode="json") for report in judgement.fairness]
        )
