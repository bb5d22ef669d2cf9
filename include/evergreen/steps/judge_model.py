"""Judge a challenger."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd

from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.errors import FeaturesInvalid, ModelIncompatible, NotReady
from evergreen.features.building import call_predict
from evergreen.features.evidence import packed_hashes
from evergreen.features.label_batches import label_batches
from evergreen.features.labelled import LabelledRows, blocks_of, gather_features, gather_rows, match_labels
from evergreen.incidents import MEND_CODE, report, resolve
from evergreen.judging.attempts import DueAttempt, earlier_attempts
from evergreen.judging.champion import predict_labelled
from evergreen.judging.freshness import champion_freshness, judge_refresh
from evergreen.judging.gate import judge
from evergreen.judging.promotions import promotion_decided
from evergreen.judging.uncertainty import error_between
from evergreen.records import AttemptRecord, Freshness, Judgement, PromotionRecord, SearchedParams, Words
from evergreen.steps.train_model import TrainResult
from evergreen.storage.packed_model import PackedModel
from evergreen.storage.stores import Stores, stores_of


@dataclass(frozen=True)
class _Case:
    """What is to be judged.

    :param champion: the promotion that the challenger is judged against; None where nobody serves.
    :param holdout: the label batches after what the challenger has learnt.
    """

    model: ModelFolder
    stores: Stores
    attempt: DueAttempt
    trained: TrainResult
    champion: PromotionRecord | None
    holdout: list[str]

    @property
    def is_new_code(self) -> bool:
        """Whether the challenger is of other code than a champion that is no baseline."""
        if self.champion is None or self.champion.baseline or self.trained.run is None:
            return False
        return self.stores.models.run_tags(self.trained.run)["evergreen.code"] != self.champion.code


@dataclass(frozen=True)
class _Finding:
    """What the gate finds.

    :param refusal: why the challenger does not pass, if it does not.
    :param needs_human: why a human has to decide, if one has.
    :param fault: whether it is the folder's code that failed.
    :param freshness: what newer labels were worth.
    :param why: why it passes, where that is not told by the judgement.
    """

    judgement: Judgement | None = None
    refusal: str | None = None
    needs_human: str | None = None
    fault: bool = False
    freshness: Freshness | None = None
    why: str = ""


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
    case = _Case(model, stores, attempt, trained, champion, _holdout(model, stores, attempt, trained, champion))
    finding = _find(case)
    record = _conclude(case, finding)
    # Told before it is recorded: once the record stands, nobody may come this way again.
    if record.judgement is not None and trained.run is not None:
        _log(stores, trained.run, record.judgement, model.config.calendar.end(record.as_of))
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


def _find(case: _Case) -> _Finding:
    config, trained, stores = case.model.config, case.trained, case.stores
    if trained.run is None and not trained.refresh:
        return _Finding(refusal=trained.why, fault=trained.fault)
    if config.labels is None:
        return _Finding(needs_human="this model has no labels")
    labelled = match_labels(config.data_schema, stores, case.holdout[0], case.attempt.as_of)
    if len(labelled.rows) < config.gate.min_rows:
        return _Finding(refusal=f"{len(labelled.rows)} labelled rows in the holdout, {config.gate.min_rows} are needed")
    freshness = champion_freshness(config, stores, case.champion, labelled) if case.champion is not None else None
    if trained.run is None:
        return _find_refresh(case, freshness)
    old, needs_human = None, None
    try:
        if case.champion is not None:
            old = predict_labelled(config.data_schema, stores, case.champion, labelled)
    except (FeaturesInvalid, ModelIncompatible) as error:
        needs_human = f"the champion cannot score the holdout: {error}"
    challenger = stores.models.load_run(trained.run, packed_hashes(stores, case.attempt.verdict, "challenger"))
    judgement, refusal = _compare(case, labelled, old, challenger)
    if judgement is not None and old is not None and _is_younger(case, challenger):
        spread = error_between(judgement.lower, judgement.upper)
        freshness = Freshness(gain=judgement.improvement, error=spread) if np.isfinite(spread) else None
    needs_human = needs_human if refusal is None else None
    return _Finding(judgement, refusal, needs_human, fault=judgement is None, freshness=freshness)


def _find_refresh(case: _Case, freshness: Freshness | None) -> _Finding:
    """Of a challenger that would be the champion once more: whether a fit on newer labels is expected to be better."""
    earlier = (attempt.freshness for attempt in earlier_attempts(case.stores, case.attempt.verdict))
    seen = [one for one in (freshness, *earlier) if one is not None]
    why, passed = judge_refresh(case.model.config.gate, seen)
    return _Finding(refusal=None if passed else why, freshness=freshness, why=why)


def _is_younger(case: _Case, challenger: PackedModel) -> bool:
    """Whether a challenger is of the champion's recipe, so that it differs by the labels that it has learnt alone."""
    champion = case.champion
    if champion is None or champion.baseline or case.is_new_code:
        return False
    theirs, mine = case.stores.models.load_promoted(champion).spec, challenger.spec
    return (mine.window, mine.params) == (theirs.window, theirs.params)


def _conclude(case: _Case, finding: _Finding) -> AttemptRecord:
    trained, models = case.trained, case.stores.models
    tags = models.run_tags(trained.run) if trained.run is not None else {}
    metrics = models.run_metrics(trained.run) if trained.run is not None else {}
    # A refresh is of the champion's code, whatever the folder says by now.
    code = case.champion.code if case.champion and trained.refresh else case.model.code_version
    baseline = case.champion is None and finding.refusal is not None and _knows_labels(case)
    needs_human, passed = finding.needs_human, finding.refusal is None or baseline
    if case.model.config.gate.approval == "required" and passed:
        needs_human = needs_human or "config.yaml says gate.approval: required"
    why = finding.refusal or needs_human or finding.why
    if not why and finding.judgement is not None:
        why = finding.judgement.gain
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
        why=f"the baseline serves: {why}" if baseline else why,
        baseline=baseline,
        freshness=finding.freshness,
        refresh=trained.refresh,
        searched=SearchedParams.model_validate(trained.searched) if trained.searched is not None else None,
        meta={"run_id": trained.run, "cpu_seconds": trained.seconds},
    )


def _knows_labels(case: _Case) -> bool:
    """Whether there is a label to make a constant of."""
    schema, as_of = case.model.config.data_schema, case.attempt.as_of
    if schema.labels is None:
        return False
    return not match_labels(schema, case.stores, schema.calendar.name(0), as_of).rows.empty


def _tell(model: ModelFolder, stores: Stores, record: AttemptRecord, finding: _Finding) -> None:
    """Tell what somebody has to mend or to decide; that a challenger is not better is nobody's alarm."""
    what, ledger = f"{model.id}: attempt {record.id} at batch {record.as_of}", stores.ledger
    serves = (
        "The baseline serves." if record.baseline else "The champion stays." if record.against else "Nobody serves."
    )
    if finding.fault:
        report(ledger, "unfit", record.as_of, Words(f"{what} has no challenger: {finding.refusal}.", serves, MEND_CODE))
    elif record.outcome == "refused":
        resolve(ledger, "unfit", record.as_of, f"{what} has a challenger again")
    if record.outcome == "needs approval":
        wait = str(model.config.gate.approval_wait).removesuffix(", 0:00:00")
        words = Words(
            f"{what} needs a human's yes: {record.why}.",
            f"{serves} Without an answer within {wait} the challenger is refused.",
            f"Look at the judgement, and answer in the Required Actions of {model.id}__retrain, task approve_model.",
        )
        report(ledger, "approval", record.as_of, words)


def _compare(
    case: _Case, labelled: LabelledRows, old: np.ndarray | None, challenger: PackedModel
) -> tuple[Judgement | None, str | None]:
    """The challenger against the champion; against the best constant where nobody serves, or the champion fails.

    :param old: (n,) what the champion predicts for the holdout.
    """
    config, champion = case.model.config, case.champion
    assert config.labels is not None
    try:
        features, _ = gather_features(config.data_schema, case.stores, challenger, labelled)
        new = call_predict(challenger, features, f"{labelled.rows['batch'].min()} to {labelled.rows['batch'].max()}")
    except (FeaturesInvalid, ModelIncompatible) as error:
        return None, str(error)
    against = f"version {champion.version}{', the baseline' if champion.baseline else ''}" if champion else ""
    # Where the champion cannot predict, nothing that serves is at stake.
    new_code = old is not None and case.is_new_code
    if old is None:
        constant = challenger.spec.constant
        assert constant is not None
        against, old = f"the constant {constant:.4g}", np.full(len(new), constant)
    target = labelled.rows[config.labels.column].to_numpy(dtype=float)
    gate, rows = config.gate, pd.DataFrame()
    if gate.slices or gate.sensitive:
        rows = gather_rows(config.data_schema, case.stores, labelled)
    return judge(gate, against, target, old, new, blocks_of(labelled), rows, new_code)


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
