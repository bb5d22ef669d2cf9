"""What the gate finds of a challenger, and of the champion's own code where the folder's is refused."""

import time
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from evergreen.config.model_folder import ModelFolder
from evergreen.errors import FeaturesInvalid, ModelIncompatible
from evergreen.features.building import call_predict
from evergreen.features.label_batches import training_span
from evergreen.features.labelled import LabelledRows, blocks_of, gather_features, gather_rows, match_labels
from evergreen.features.packing import Recipe, fit_model, packed_hashes, packing_folder
from evergreen.judging.attempts import DueAttempt, TrainResult, earlier_attempts
from evergreen.judging.champion import predict_labelled
from evergreen.judging.freshness import champion_freshness, judge_refresh
from evergreen.judging.gate import judge
from evergreen.judging.uncertainty import error_between
from evergreen.records import Freshness, Judgement, PromotionRecord
from evergreen.storage.packed_model import PackedModel
from evergreen.storage.stores import Stores


@dataclass(frozen=True)
class Case:
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
        """Whether the challenger is, or would be, of other code than a champion that is no baseline."""
        run, champion = self.trained.run, self.champion
        if champion is None or champion.baseline or self.trained.refresh:
            return False
        code = self.model.code_version if run is None else self.stores.models.run_data(run).tags["evergreen.code"]
        return code != champion.code


@dataclass(frozen=True)
class Finding:
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

    @property
    def is_refused_code(self) -> bool:
        """Whether the folder's code was refused, and not for labels that are too few to learn from or to tell by."""
        return self.refusal is not None and (self.fault or self.judgement is not None)


def compare_challenger(case: Case) -> Finding:
    """What the gate finds of a challenger on the holdout; of none, or of the champion once more, what is told of it."""
    config, trained, stores = case.model.config, case.trained, case.stores
    if trained.run is None and not trained.refresh:
        return Finding(refusal=trained.why, fault=trained.fault)
    if config.labels is None:
        return Finding(needs_human="this model has no labels")
    labelled = match_labels(config.data_schema, stores, case.holdout[0], case.attempt.as_of)
    if len(labelled.rows) < config.gate.min_rows:
        return Finding(refusal=f"{len(labelled.rows)} labelled rows in the holdout, {config.gate.min_rows} are needed")
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
        freshness = _freshness_of(judgement)
    needs_human = needs_human if refusal is None else None
    return Finding(judgement, refusal, needs_human, fault=judgement is None, freshness=freshness)


def _find_refresh(case: Case, freshness: Freshness | None) -> Finding:
    """Of a challenger that would be the champion once more: whether a fit on newer labels is expected to be better."""
    earlier = (attempt.freshness for attempt in earlier_attempts(case.stores, case.attempt.verdict))
    seen = [one for one in (freshness, *earlier) if one is not None]
    why, passed = judge_refresh(case.model.config.gate, seen)
    return Finding(refusal=None if passed else why, freshness=freshness, why=why)


def compare_own_code(case: Case, refused: Finding) -> tuple[Case, Finding]:
    """What the gate finds of the champion's own code on newer labels, while the folder's is refused.

    Somebody has to mend or to take back what the folder says, and until then the champion would grow old.

    :param refused: what was found of the folder's code.
    :returns: the case with a refresh in the place of the challenger; the same as before where that is not better.
    """
    config, stores, champion, begun = case.model.config, case.stores, case.champion, time.process_time()
    assert champion is not None
    try:
        packed = stores.models.load_promoted(champion)
        schema, window = packed.spec.data_schema(config.data_schema), packed.spec.window
        span = training_span(schema, stores, case.attempt.as_of, window, before=case.holdout[0])
        # Of parameters that were searched for those are kept that it has.
        own = TrainResult(None, span, 0, window=str(window), tried=case.trained.tried, refresh=True)
        case_of_own = replace(case, trained=own)
        found = _compare_refit(case_of_own, packed) if span != champion.trained_on else compare_challenger(case_of_own)
    except (FeaturesInvalid, ModelIncompatible):
        return case, refused
    # Without a comparison of today nothing says that it reads the rows still.
    if found.refusal is not None or found.freshness is None:
        return case, replace(refused, freshness=found.freshness)
    spent = case.trained.seconds + time.process_time() - begun
    why = f"the folder's code is refused ({refused.refusal}); the champion's own on newer labels: {found.why}"
    return replace(case, trained=replace(own, seconds=spent)), replace(found, why=why, fault=refused.fault)


def _compare_refit(case: Case, packed: PackedModel) -> Finding:
    """What the gate finds of the champion's recipe, fitted on the labels before the holdout."""
    config, stores, champion, span = case.model.config, case.stores, case.champion, case.trained.trained_on
    assert champion is not None
    labelled = match_labels(config.data_schema, stores, case.holdout[0], case.attempt.as_of)
    if span is None or len(labelled.rows) < config.gate.min_rows:
        return Finding(refusal="too few labels")
    old = predict_labelled(config.data_schema, stores, champion, labelled)
    with packing_folder() as folder:
        refit = fit_model(Recipe.of_packed(packed), config.data_schema, stores, span, folder).packed
        judgement, refusal = _compare(case, labelled, old, refit)
    if judgement is None:
        return Finding(refusal=refusal)
    return Finding(judgement, refusal, freshness=_freshness_of(judgement), why=judgement.gain)


def _freshness_of(judgement: Judgement) -> Freshness | None:
    """What newer labels were worth, by the judgement of a fit on them; None where that has no interval."""
    spread = error_between(judgement.lower, judgement.upper)
    return Freshness(gain=judgement.improvement, error=spread) if np.isfinite(spread) else None


def _is_younger(case: Case, challenger: PackedModel) -> bool:
    """Whether a challenger is of the champion's recipe, so that it differs by the labels that it has learnt alone."""
    champion = case.champion
    if champion is None or champion.baseline or case.trained.baseline or case.is_new_code:
        return False
    theirs, mine = case.stores.models.load_promoted(champion).spec, challenger.spec
    return (mine.window, mine.params) == (theirs.window, theirs.params)


def _compare(
    case: Case, labelled: LabelledRows, old: np.ndarray | None, challenger: PackedModel
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
