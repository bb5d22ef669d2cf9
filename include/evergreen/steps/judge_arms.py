"""Judge who answers online beside the champion, and decide who does from now on."""

from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.errors import Refused
from evergreen.features.answers import label_answers, read_answers
from evergreen.incidents import report, resolve
from evergreen.judging.arm_limits import compare_arms
from evergreen.judging.arms import fails_too_often
from evergreen.judging.attempts import find_open_verdict
from evergreen.judging.promotions import require_promoted
from evergreen.losses import METRICS
from evergreen.records import (
    ApprovalRecord,
    ArmLimit,
    ArmReport,
    ArmsRecord,
    AttemptRecord,
    ClaimRecord,
    Comparison,
    PromotionRecord,
    Words,
)
from evergreen.storage.stores import Stores, stores_of


@dataclass(frozen=True)
class _Seen:
    """What an experiment has shown so far.

    :param arms: champion and challenger.
    :param limits: how the challenger keeps the gate's.
    :param asked: rows that the challenger was to answer, by key.
    :param failed: those that it could not.
    """

    arms: tuple[ArmReport, ...]
    comparison: Comparison | None
    limits: tuple[ArmLimit, ...]
    asked: int
    failed: int


def judge_arms(model: ModelFolder, at: Locations, batch: str) -> ArmsRecord | None:
    """Begin an experiment with a challenger that waits for a person, or judge the one that runs, as of a batch.

    A challenger that is worse, overall or beyond a limit of the gate, or that fails too often is taken back; a canary's
    share grows while it is none of these. Whether a challenger is promoted stays the person's word.

    :param batch: the newest that was scored; for another one nothing is decided any more.
    :returns: the record that holds; None where there never was an experiment.
    """
    stores = stores_of(model, at)
    last = stores.ledger.last(ArmsRecord, "online")
    newest = stores.ledger.last_batch(ClaimRecord, model.config.calendar)
    if not model.config.serving.experiments or batch != newest or (last is not None and last.as_of >= batch):
        return last
    if last is None or last.state != "running":
        attempt = _find_waiting(model, stores, batch)
        return _begin(model, stores, batch, attempt, "its challenger waits for an answer") if attempt else last
    over = _find_end(stores, last)
    record = _follow(last, batch, state="ended", share=0.0, why=over) if over else _judge(model, stores, last, batch)
    if record.state == "taken back":
        words = Words(
            f"{model.id}: challenger {record.challenger} was taken back from online traffic: {record.why}.",
            "The champion answers all rows.",
            f"Look at `evergreen arms {model.id}`, and answer its attempt, if it waits for one.",
        )
        report(stores.ledger, "taken-back", batch, words)
    return stores.ledger.put(record)


def begin_arms(model: ModelFolder, at: Locations, version: int, why: str) -> ArmsRecord:
    """Let a version that was promoted once answer beside the champion, as config.yaml's ``serving`` says.

    The same wish twice is one.

    :param why: who wants it, and why.
    :raises ModelNotFound: if there is no such version.
    :raises Refused: if another experiment runs, the version is the champion, or config.yaml tells of none.
    """
    stores = stores_of(model, at)
    last, champion = stores.ledger.last(ArmsRecord, "online"), stores.ledger.last(PromotionRecord, "champion")
    require_promoted(stores, version)
    if last is not None and last.state == "running":
        begun = stores.ledger.require(ArmsRecord, "online", last.experiment)
        if (begun.challenger, begun.why) == (str(version), why):
            return last
    problem = ""
    if not model.config.serving.experiments:
        problem = "config.yaml says neither arms, canary nor shadow under serving; say one"
    elif last is not None and last.state == "running":
        problem = f"challenger {last.challenger} is tried; end that first: evergreen arms {model.id} --end --why …"
    elif champion is not None and champion.version == version:
        problem = f"version {version} is the champion itself; name another"
    if problem:
        raise Refused(f"model {model.id}: {problem}")
    standing = _begin(model, stores, _newest(model, stores), str(version), why)
    # Somebody else may have put a record at the same moment.
    is_ours = (standing.challenger, standing.why) == (str(version), why)
    return standing if is_ours else begin_arms(model, at, version, why)


def end_arms(model: ModelFolder, at: Locations, why: str) -> ArmsRecord:
    """Let the champion answer alone again. The same wish twice is one.

    :param why: who wants it, and why.
    :raises Refused: if no experiment runs.
    """
    stores = stores_of(model, at)
    last = stores.ledger.last(ArmsRecord, "online")
    if last is not None and (last.state, last.why) == ("ended", why):
        return last
    if last is None or last.state != "running":
        raise Refused(f"model {model.id}: no challenger answers online; there is nothing to end")
    standing = stores.ledger.put(_follow(last, _newest(model, stores), state="ended", share=0.0, why=why))
    # A check may have judged it at the same moment.
    return standing if standing.state == "ended" else end_arms(model, at, why)


def _newest(model: ModelFolder, stores: Stores) -> str:
    newest = stores.ledger.last_batch(ClaimRecord, model.config.calendar)
    assert newest is not None, "what was promoted has learnt from batches"
    return newest


def _begin(model: ModelFolder, stores: Stores, batch: str, challenger: str, why: str) -> ArmsRecord:
    last, share = stores.ledger.last(ArmsRecord, "online"), model.config.serving.steps[0]
    n = last.n + 1 if last is not None else 0
    record = ArmsRecord(
        as_of=batch, n=n, experiment=n, challenger=challenger, state="running", share=share, since=batch, why=why
    )
    resolve(stores.ledger, "taken-back", batch, f"{model.id}: challenger {challenger} is tried now")
    return stores.ledger.put(record)


def _follow(last: ArmsRecord, batch: str, **changes: Any) -> ArmsRecord:
    """The next record of an experiment."""
    return last.model_copy(update={"n": last.n + 1, "as_of": batch, "meta": {}, **changes})


def _find_waiting(model: ModelFolder, stores: Stores, batch: str) -> str | None:
    """The attempt whose challenger waits for a person's word, and was not tried yet."""
    verdict = find_open_verdict(model.config, stores)
    attempt = stores.ledger.get(AttemptRecord, verdict.id) if verdict is not None else None
    if attempt is None or attempt.outcome != "needs approval" or attempt.as_of > batch:
        return None
    # A baseline or a refresh has no challenger of its own; without a champion there is nobody to stand beside.
    if attempt.baseline or attempt.refresh or not attempt.against or _find_answer(stores, attempt.id):
        return None
    tried = any(one.challenger == attempt.id for one in stores.ledger.all(ArmsRecord, "online"))
    return None if tried else attempt.id


def _find_end(stores: Stores, last: ArmsRecord) -> str:
    """Why an experiment is over, whatever it has shown; empty while it is not."""
    champion = stores.ledger.last(PromotionRecord, "champion")
    if last.version is not None:
        became = champion is not None and champion.version == last.version
        return f"version {last.version} is the champion" if became else ""
    attempt = stores.ledger.require(AttemptRecord, last.challenger)
    if champion is not None and champion.number > attempt.against:
        return f"version {champion.version} was promoted"
    return _find_answer(stores, attempt.id)


def _find_answer(stores: Stores, attempt: str) -> str:
    answer = stores.ledger.get(ApprovalRecord, attempt)
    return f"{answer.by} said {'yes' if answer.approved else 'no'}" if answer is not None else ""


def _judge(model: ModelFolder, stores: Stores, last: ArmsRecord, batch: str) -> ArmsRecord:
    """The next record of an experiment that runs."""
    gate, serving = model.config.gate, model.config.serving
    begun = stores.ledger.require(ArmsRecord, "online", last.experiment)
    seen = _look(model, stores, begun, batch)
    share = last.share if last.share in serving.steps else serving.steps[0]
    update = {"arms": seen.arms, "comparison": seen.comparison, "limits": seen.limits, "share": share}
    record = _follow(last, batch, **update)
    back: dict[str, Any] = {"state": "taken back", "share": 0.0}
    if (problem := _find_problem(seen, gate.min_rows)) is not None:
        return record.model_copy(update=back | {"why": problem})
    compared, fewest = seen.comparison, min(arm.rows for arm in seen.arms)
    if compared is None or fewest < gate.min_rows:
        why = f"{fewest} labelled rows of one arm, {gate.min_rows} of each are needed"
        return record.model_copy(update={"why": why})
    told = _tell(compared)
    later, every = [step for step in serving.steps if step > share], serving.canary.every if serving.canary else 0
    is_due = model.config.calendar.shift(last.since, every) <= batch
    if near := [limit for limit in seen.limits if limit.seems_broken]:
        return record.model_copy(update={"why": f"nothing is proven yet: {told}; {near[0].told}"})
    if later and is_due and compared.improvement >= -gate.min_effect:
        grown = {"share": later[0], "since": batch, "why": f"it is not worse: {told}"}
        return record.model_copy(update=grown)
    word = "it is better" if compared.lower > 0 else "nothing is proven yet"
    return record.model_copy(update={"why": f"{word}: {told}"})


def _find_problem(seen: _Seen, min_rows: int) -> str | None:
    """Why a challenger is taken back, if it is."""
    if seen.asked >= min_rows and fails_too_often(seen.failed, seen.asked):
        return f"it could not answer {seen.failed} of {seen.asked} rows"
    if seen.comparison is None or min(arm.rows for arm in seen.arms) < min_rows:
        return None
    if seen.comparison.upper < 0:
        return f"it is worse: {_tell(seen.comparison)}"
    return next((limit.told for limit in seen.limits if limit.is_broken), None)


def _tell(compared: Comparison) -> str:
    return f"improvement {compared.improvement:.1%} ({compared.lower:.1%} to {compared.upper:.1%})"


def _look(model: ModelFolder, stores: Stores, begun: ArmsRecord, batch: str) -> _Seen:
    """What was answered since an experiment began, with the labels that are known by a batch."""
    answers = read_answers(stores, batch, begun.as_of)
    answers = answers[(answers["decision"] >= begun.n) & (answers["arm"] != "")]
    known = label_answers(model.config, stores, answers.drop_duplicates("key"), begun.as_of, batch)
    by_challenger = (known["arm"] == "challenger") | known["shadow"].notna() | known["failed"]
    failed, whole = int(known["failed"].sum()), known[~known["failed"]]
    old, new = whole[whole["arm"] == "champion"], whole[whole["arm"] == "challenger"]
    answered = int((answers["arm"] == "challenger").sum())
    if new.empty and old["shadow"].notna().any():
        old = old[old["shadow"].notna()]
        new, answered = old.assign(prediction=old["shadow"]), int(answers["shadow"].notna().sum())
    old, new = old[old["target"].notna()], new[new["target"].notna()]
    metric = METRICS[model.config.gate.metric]

    def report_arm(arm: Literal["champion", "challenger"], count: int, rows: pd.DataFrame) -> ArmReport:
        lost = metric.row_losses(rows["target"].to_numpy(), rows["prediction"].to_numpy())
        return ArmReport(arm=arm, answered=count, rows=len(lost), error=metric.of(lost) if len(lost) else None)

    reports = (
        report_arm("champion", int((answers["arm"] == "champion").sum()), old),
        report_arm("challenger", answered, new),
    )
    return _Seen(reports, *compare_arms(model.config.gate, old, new), int(by_challenger.sum()), failed)
