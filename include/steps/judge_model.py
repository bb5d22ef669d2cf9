"""Judge a challenger."""

import numpy as np
import pandas as pd

from include.config.locations import Locations
from include.config.model_folder import ModelFolder
from include.errors import FeaturesInvalid, ModelIncompatible, NotReady
from include.features.history import call_predict
from include.features.known import label_batches
from include.features.labelled import LabelledRows, gather_features, gather_rows, match_labels
from include.incidents import announce, report
from include.judging.attempts import DueAttempt
from include.judging.champion import predict_labelled, promotion_decided
from include.judging.gate import attempt_confidence, judge
from include.judging.losses import best_constant
from include.records import AttemptRecord, Judgement, PromotionRecord
from include.steps.train_model import TrainResult
from include.storage.packed_model import PackedModel
from include.storage.stores import Stores, open_stores


def judge_model(model: ModelFolder, at: Locations, attempt: DueAttempt, trained: TrainResult) -> AttemptRecord:
    """Judge a challenger against the champion on the holdout, and record the attempt.

    Without a champion that can score the rows the challenger must beat the best constant. What the gate cannot cover
    (no labels, a champion that cannot score the rows, ``approval: required``) is left to a human.

    :returns: the attempt's record that stands.
    """
    stores = open_stores(at, model.id)
    record = stores.ledger.get(AttemptRecord, attempt.verdict, attempt.number - 1)
    if record is not None:
        return record
    # Told before it is recorded: once the record stands, nobody may come this way again.
    record = _judge(model, stores, attempt, trained)
    if record.judgement is not None and trained.run is not None:
        _log(stores, trained.run, record.judgement)
    if record.outcome == "refused":
        text = f"{model.id}: challenger {attempt.id} at batch {attempt.as_of} refused: {record.why}. Champion stays."
        announce(stores.ledger, "refused", attempt.as_of, text)
    if record.outcome == "needs approval":
        text = f"{model.id}: challenger {attempt.id} at batch {attempt.as_of} needs a human's yes: {record.why}."
        report(stores.ledger, "approval", attempt.as_of, text)
    return stores.ledger.put(record)


def _judge(model: ModelFolder, stores: Stores, attempt: DueAttempt, trained: TrainResult) -> AttemptRecord:
    config = model.config
    # What follows what it has learnt: gate.holdout may say something else than when it was trained.
    holdout = label_batches(config, stores, attempt.as_of, after=trained.trained_on[1])
    champion = promotion_decided(stores.ledger, attempt.as_of)
    if champion is not None and champion.as_of >= holdout[0]:
        raise NotReady(
            f"model {model.id}: promotion {champion.number} has learnt from labels up to {champion.as_of}; "
            f"a holdout from {holdout[0]} on is not new to it. Wait for later labels"
        )
    labelled = match_labels(config, stores, holdout[0], attempt.as_of)
    judgement, refusal, uncovered = None, None, None
    if trained.run is None:
        refusal = trained.why
    elif config.labels == "none":
        uncovered = "this model has no labels"
    elif len(labelled.rows) < config.gate.min_rows:
        refusal = f"{len(labelled.rows)} labelled rows in the holdout, {config.gate.min_rows} are needed"
    else:
        # What the attempts of a verdict share is the chance to replace a champion by no better one.
        confidence = attempt_confidence(config.gate.confidence, attempt.number, config.retrain.attempts)
        try:
            against, old = _opponent(model, stores, champion, labelled, trained)
        except (FeaturesInvalid, ModelIncompatible) as error:
            uncovered = f"the champion cannot score the holdout: {error}"
            against, old = _opponent(model, stores, None, labelled, trained)
        if champion is None or uncovered is not None:
            confidence = config.gate.confidence
        challenger = stores.models.load_run(trained.run)
        judgement, refusal = _compare(model, stores, labelled, against, old, challenger, confidence)
    if config.gate.approval == "required" and refusal is None:
        uncovered = uncovered or "config.yaml says gate.approval: required"
    tags = stores.models.run_tags(trained.run) if trained.run is not None else {}
    passed = f"improvement {judgement.improvement:.1%}, lower bound {judgement.lower:.1%}" if judgement else ""
    return AttemptRecord(
        as_of=attempt.as_of,
        verdict=attempt.verdict,
        number=attempt.number,
        trained_on=trained.trained_on,
        training_rows=trained.rows,
        data=tags.get("evergreen.data", ""),
        code=tags.get("evergreen.code", model.code_version),
        holdout=tuple(holdout),
        against=champion.number if champion else 0,
        judgement=judgement,
        outcome="refused" if refusal else "needs approval" if uncovered else "passed",
        why=refusal or uncovered or passed,
        meta={"run_id": trained.run},
    )


def _opponent(
    model: ModelFolder,
    stores: Stores,
    champion: PromotionRecord | None,
    labelled: LabelledRows,
    trained: TrainResult,
) -> tuple[str, np.ndarray]:
    """Whom the challenger is judged against, and what it predicts for the holdout."""
    if champion is not None:
        return f"version {champion.version}", predict_labelled(model.config, stores, champion, labelled)
    labels = model.config.labels
    assert labels != "none"
    learnt = match_labels(model.config, stores, *trained.trained_on).rows[labels.column]
    constant = best_constant(model.config.gate.metric, learnt.to_numpy(dtype=float))
    return f"the constant {constant:.4g}", np.full(len(labelled.rows), constant)


def _compare(
    model: ModelFolder,
    stores: Stores,
    labelled: LabelledRows,
    against: str,
    old: np.ndarray,
    challenger: PackedModel,
    confidence: float,
) -> tuple[Judgement | None, str | None]:
    config = model.config
    assert config.labels != "none"
    try:
        features, _ = gather_features(config, stores, challenger, labelled)
        new = call_predict(challenger, features, f"{labelled.rows['batch'].min()} to {labelled.rows['batch'].max()}")
    except (FeaturesInvalid, ModelIncompatible) as error:
        return None, str(error)
    target = labelled.rows[config.labels.column].to_numpy(dtype=float)
    gate, rows = config.gate, pd.DataFrame()
    if gate.slices or gate.sensitive:
        rows = gather_rows(config, stores, labelled)
    # Where labels come in bulk, one batch of them would be the only block: then the days of the rows are.
    few = labelled.rows["known"].nunique() < gate.holdout
    blocks = labelled.rows["batch" if few else "known"].to_numpy(dtype=str)
    return judge(gate, against, target, old, new, blocks, rows, confidence)


def _log(stores: Stores, run: str, judgement: Judgement) -> None:
    """Put what was judged beside the challenger in MLflow."""
    metrics = {
        "holdout_rows": float(judgement.rows),
        f"holdout_{judgement.metric}": judgement.challenger,
        f"opponent_{judgement.metric}": judgement.champion,
        "improvement": judgement.improvement,
        "improvement_lower": judgement.lower,
    }
    if (calibration := judgement.calibration) is not None:
        metrics |= {"calibration_error": calibration.challenger, "opponent_calibration_error": calibration.champion}
    stores.models.log_metrics(run, metrics)
    if judgement.fairness:
        stores.models.log_report(
            run, "fairness.json", [report.model_dump(mode="json") for report in judgement.fairness]
        )
