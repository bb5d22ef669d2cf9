"""What two judges say of one champion, check by check: by label arrival, as the loop does, and by mature batches."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from include.checks.sections import check_outcomes
from include.features.known import last_label_batches
from include.judging.attempts import holdout_of
from include.judging.gate import judge
from include.judging.losses import mean_metric, row_losses
from include.records import PromotionRecord
from include.storage.packed_model import PackedModel, load_module
from tests.bench.late import Drive
from tests.bench.maturity import RIPE, Past, mature_batches, rows_by_batch

WORSE_BY = 0.1
# How many batches after a look tell which of two models was the better one.
AHEAD = 8
# At every so many batches the check itself is asked, and has to say the same.
CONTROL = 20


@dataclass
class Said:
    """What one judge said over a run.

    :param promised: the holdout error at promotion over the version's true error before the change, less 1.
    :param off: the judged error over the true error of the batches that were being scored then, less 1; one a check.
    :param alarms: for each check before the change at which it could speak, whether it said bad.
    :param spoke: for each check, whether it could.
    :param decided: batches from the change to the first check that says bad, of a window with rows from after it.
    :param passed: batches from the change to the first look at which one passes that has learnt from rows after it and
        is truly better by a tenth.
    :param holdout_off: a challenger's holdout error over its true error on the batches that follow, less 1.
    :param regret: error of the model that was chosen over that of the better one, less 1; one a look.
    """

    promised: float = 0.0
    off: list[float] = field(default_factory=list)
    alarms: list[bool] = field(default_factory=list)
    spoke: list[bool] = field(default_factory=list)
    decided: int | None = None
    passed: int | None = None
    holdout_off: list[float] = field(default_factory=list)
    regret: list[float] = field(default_factory=list)


def compare_judges(drive: Drive, changed: int | None, every: int) -> dict[str, Said]:
    """Both judges over the checks of the first champion, and both splits at every few of them.

    :param changed: the first batch after the concept change, from 0; None where none is known.
    :param every: batches between two looks at the splits.
    """
    promotion = drive.promotions[0]
    past, features, packed = drive.past_of(promotion)
    since = drive.model.config.calendar.index(promotion.as_of)
    before = past.rows["batch"].between(since + 1, drive.batches if changed is None else changed - 1)
    promised = (promotion.error or np.nan) / float(past.rows["loss"][before].mean()) - 1
    said = {way: Said(promised) for way in ("arrival", "batch", "half")}
    for now in range(since + 1, drive.batches):
        _check(drive, past, promotion, now, changed, said)
        ahead = now + AHEAD < drive.batches
        if ahead and (now - since) % every == 0:
            for way in ("arrival", "batch"):
                _look(drive, past, features, packed, now, since, changed, way, said[way])
    return said


def _check(
    drive: Drive, past: Past, promotion: PromotionRecord, now: int, changed: int | None, said: dict[str, Said]
) -> None:
    config = drive.model.config
    calendar, window = config.calendar, config.check.window
    since = calendar.index(promotion.as_of)
    current = past.rows[(past.rows["batch"] > max(since, now - window)) & (past.rows["batch"] <= now)]
    truth = float(current["loss"].mean())
    brought = last_label_batches(config, drive.stores, calendar.name(now), window)
    arrived = [number for batch in brought if (number := calendar.index(batch)) > since]
    seen = {
        "arrival": past.rows[past.rows["known"].between(min(arrived, default=now + 1), now)],
        "batch": rows_by_batch(past, now, since, window),
        "half": rows_by_batch(past, now, since, window, RIPE / 2),
    }
    if now % CONTROL == 0:
        numbers = check_outcomes(config, drive.stores, calendar.name(now), promotion, WORSE_BY).numbers
        assert "error" not in numbers or np.isclose(seen["arrival"]["loss"].mean(), numbers["error"])
    for way, rows in seen.items():
        one, speaks = said[way], len(rows) >= config.check.min_rows
        one.spoke.append(speaks)
        if not speaks:
            continue
        error = float(rows["loss"].mean())
        bad = promotion.error is not None and error > promotion.error * (1 + WORSE_BY)
        if changed is None or now < changed:
            one.off.append(error / truth - 1)
            one.alarms.append(bad)
        elif bad and one.decided is None and int(rows["batch"].max()) >= changed:
            one.decided = now - changed


def _split(drive: Drive, past: Past, now: int, since: int, way: str) -> tuple[pd.DataFrame, pd.DataFrame, str] | None:
    """Rows to learn from, rows to judge on, and the column of the blocks; None where there is nothing new to judge."""
    config, known = drive.model.config, past.at(now)
    calendar, as_of = config.calendar, config.calendar.name(now)
    if way == "arrival":
        names = holdout_of(config, drive.stores, as_of)
        older = last_label_batches(config, drive.stores, as_of, config.training.window, before=names[0])
        held, learnt = [calendar.index(one) for one in names], [calendar.index(one) for one in older]
        fresh, place = bool(learnt) and held[0] > since and learnt[-1] > since, "known"
        # A label that came before its row has its place with the row, wherever that is.
        held, learnt = list(range(held[0], now + 1)), list(range(min(learnt, default=0), max(learnt, default=-1) + 1))
    else:
        mature = mature_batches(past, now)
        held = list(mature[-config.gate.holdout :])
        learnt = list(mature[: -config.gate.holdout][-config.training.window :])
        fresh, place = bool(learnt) and held[0] > since, "batch"
    train, judged = known[known[place].isin(learnt)], known[known[place].isin(held)]
    if not fresh or min(len(train), len(judged)) < config.gate.min_rows:
        return None
    return train, judged, place if judged[place].nunique() >= config.gate.holdout else "batch"


def _look(
    drive: Drive, past: Past, features: pd.DataFrame, packed: PackedModel, now: int, since: int,
    changed: int | None, way: str, said: Said,
) -> None:  # fmt: skip
    if said.passed is not None:
        return
    split = _split(drive, past, now, since, way)
    if split is None:
        return
    train, judged, blocks = split
    config = drive.model.config
    estimator = load_module(packed.folder / "estimator.py", "estimator").build_estimator(config.model.seed)
    whole = config.model.task == "classification"
    estimator.fit(features.loc[train.index], train["target"].astype(int) if whole else train["target"])
    following = past.rows[(past.rows["batch"] > now) & (past.rows["batch"] <= now + AHEAD)]

    def predict(rows: pd.DataFrame) -> np.ndarray:
        own = features.loc[rows.index]
        return np.asarray(estimator.predict_proba(own)[:, 1] if whole else estimator.predict(own), dtype=float)

    def error(rows: pd.DataFrame, predicted: np.ndarray) -> float:
        return mean_metric(config.gate.metric, row_losses(config.gate.metric, rows["target"].to_numpy(), predicted))

    new = predict(judged)
    _, refusal = judge(
        config.gate, "the champion", judged["target"].to_numpy(), judged["champion"].to_numpy(), new,
        judged[blocks].to_numpy().astype(str), pd.DataFrame(),
    )  # fmt: skip
    challenger, champion = error(following, predict(following)), error(following, following["champion"].to_numpy())
    said.regret.append((champion if refusal else challenger) / min(champion, challenger) - 1)
    if changed is None or now + AHEAD < changed:
        said.holdout_off.append(error(judged, new) / challenger - 1)
    elif refusal is None and challenger < champion * (1 - WORSE_BY) and int(train["batch"].max()) >= changed:
        said.passed = now - changed
