"""Columns that may give the answer away: known too late, or the target in other words. Suspected, never proven."""

import re
from itertools import combinations

import numpy as np
import pandas as pd
from sklearn.metrics import r2_score, roc_auc_score
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from evergreen.scaffold.compare_on_history import as_number
from evergreen.scaffold.profile_columns import ColumnFacts

_SAMPLE = 10_000
# Fewer rows say nothing about what one column tells of the target.
_LEAST = 40
_TELLING = 0.97
_EXACT = 0.9999
# From here on a column is worth a look: of a regression, and of a classification.
_LOOKED_AT = (0.5, 0.75)
# Parts of one outcome are written down one after another, and now and then one of them is missing alone.
_AGREEING = 0.9
# Columns of which pairs are looked at, the most telling ones.
_PAIRED = 12
_PAIR_SAMPLE = 4_000
# Of late labels: measured on bookings, whose lead time (0.9) made the log loss of what was learnt half as large again.
_DUE = 0.8
_AFTERWARDS = re.compile(
    r"assigned|actual|final|reali[sz]ed|delivered|received|paid|closed|completed|ended|outcome|result"
)


def find_leaks(
    columns: dict[str, ColumnFacts],
    event_time: str,
    target: str,
    outcome: pd.Series,
    classification: bool,
    batches: np.ndarray,
    late: bool,
) -> tuple[dict[str, str], dict[str, str]]:
    """Name the columns that are suspected to give the target away, with the evidence, and those that come next.

    :param columns: those that would be proposed, without key and target, the event time among them.
    :param outcome: (rows,) the target as numbers, NaN where it is missing.
    :param batches: (rows,) number of each row's batch.
    :param late: whether the target comes later than its row, so that where it is missing it is not known yet.
    :returns: evidence by suspected column; how well each of the others tells the target alone, the most telling first.
    """
    leaks = _find_later_dates(columns, event_time)
    labelled = np.flatnonzero(outcome.notna())
    if len(labelled) > _SAMPLE:
        labelled = np.sort(np.random.default_rng(0).choice(labelled, _SAMPLE, replace=False))
    answer = outcome.iloc[labelled].to_numpy(dtype=float)
    rest = {name: facts for name, facts in columns.items() if name not in (*leaks, event_time)}
    leaks |= _find_label_presence(rest, outcome, target, batches, _DUE if late else _TELLING)
    rest = {name: facts for name, facts in columns.items() if name not in (*leaks, event_time)}
    numbers = pd.DataFrame(
        {
            name: facts.values.iloc[labelled].to_numpy(dtype=float)
            for name, facts in rest.items()
            if facts.is_number and facts.distinct > 1
        }
    )
    if not classification:
        leaks |= _find_exact_sum(numbers, answer, target)
    scores, measure = {}, "AUC" if classification else "R² of ranks"
    for name, facts in rest.items():
        if name not in leaks and len(answer) >= _LEAST:
            scores[name] = score = _tells(as_number(facts).iloc[labelled].to_numpy(), answer, classification)
            if score >= _TELLING:
                leaks[name] = f"alone tells {target} ({measure} {score:.2f} on rows held out)"
    told = sorted((name for name in numbers if name not in leaks and name in scores), key=scores.__getitem__)
    leaks |= _find_pairs(numbers[told[::-1][:_PAIRED]], answer, target, classification)
    if classification:
        leaks |= _find_revisions(rest, outcome, target)
    least = _LOOKED_AT[classification]
    told = sorted((name for name in scores if name not in leaks and scores[name] >= least), key=scores.__getitem__)
    return leaks, {name: f"{measure} {scores[name]:.2f}" for name in told[::-1]}


def _find_label_presence(
    columns: dict[str, ColumnFacts], outcome: pd.Series, target: str, batches: np.ndarray, least: float
) -> dict[str, str]:
    """Columns that tell whether the target is known yet: what is learnt from are then other rows than those to come.

    Rows weigh so that in each batch the known ones are half: that older rows have their labels tells nothing.

    :param least: area under the curve from which a column tells it.
    """
    is_labelled = outcome.notna().to_numpy()
    share = pd.Series(is_labelled).groupby(batches).transform("mean").to_numpy()
    mixed = np.flatnonzero((share > 0) & (share < 1))
    mixed = np.sort(np.random.default_rng(0).permutation(mixed)[:_SAMPLE])
    if not _LEAST <= is_labelled[mixed].sum() <= len(mixed) - _LEAST:
        return {}
    weights = np.where(is_labelled, 1 / np.maximum(share, 1e-9), 1 / np.maximum(1 - share, 1e-9))[mixed]
    found = {}
    for name, facts in columns.items():
        held = facts.values.notna().to_numpy()
        if _agree(held, is_labelled):
            found[name] = f"is there where {target} is, and hardly anywhere else"
        elif _agree(~held, is_labelled):
            found[name] = f"is there where {target} is missing, and hardly anywhere else"
        else:
            score = _tells(as_number(facts).to_numpy()[mixed], is_labelled[mixed].astype(float), True, weights)
            if score >= least:
                found[name] = f"tells which rows of a batch have {target} yet (AUC {score:.2f} on rows held out)"
    return found


def _agree(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two truths are nearly always the same, where they are rare as well as where they are common."""
    both, either = (one & other).sum(), (one | other).sum()
    neither, not_both = (~one & ~other).sum(), (~one | ~other).sum()
    return bool(min(both / max(either, 1), neither / max(not_both, 1)) >= _AGREEING)


def _find_later_dates(columns: dict[str, ColumnFacts], event_time: str) -> dict[str, str]:
    """Dates that lie after the event in some rows: what is written there is not known as the event happens."""
    event, leaks = columns[event_time], {}
    for name, facts in columns.items():
        if name == event_time or not facts.is_date:
            continue
        days = {event.type.type if event.type else "", facts.type.type if facts.type else ""}
        one, other = (facts.values, event.values)
        if "date" in days:
            one, other = one.dt.normalize(), other.dt.normalize()
        held = int((one.notna() & other.notna()).sum())
        later = int((one > other).sum())
        if held and later >= 0.01 * held:
            leaks[name] = f"lies after {event_time} in {later:,} of {held:,} rows"
    return leaks


def _find_exact_sum(numbers: pd.DataFrame, answer: np.ndarray, target: str) -> dict[str, str]:
    """Columns of which the target is an exact weighted sum, or (by logarithms) an exact product."""
    for shape, rows, outcome in (("sum", numbers, answer), ("product", *_logarithms(numbers, answer))):
        parts = _fit_exactly(rows, outcome)
        if parts:
            with_others = f" of {' and '.join(parts)}" if len(parts) > 1 else " of it alone"
            word = shape if len(parts) > 1 else "multiple" if shape == "sum" else "power"
            return dict.fromkeys(parts, f"{target} is an exact {word}{with_others}")
    return {}


def _find_pairs(numbers: pd.DataFrame, answer: np.ndarray, target: str, classification: bool) -> dict[str, str]:
    """Two columns whose difference or ratio tells the target: it was made by comparing them."""
    few = np.random.default_rng(0).permutation(len(answer))[:_PAIR_SAMPLE]
    found: dict[str, str] = {}
    for one, other in combinations(numbers.columns, 2):
        first, second = (numbers[name].to_numpy()[few] for name in (one, other))
        ratio = np.divide(first, second, out=np.full(len(few), np.nan), where=second != 0)
        ways = {"difference": first - second, "ratio": ratio}
        scores = {how: _tells(values, answer[few], classification) for how, values in ways.items()}
        how = max(scores, key=scores.__getitem__)
        if scores[how] >= _TELLING:
            measure = "AUC" if classification else "R² of ranks"
            told = f"the {how} of {one} and {other} tells {target} ({measure} {scores[how]:.2f} on rows held out)"
            found = {one: told, other: told} | found
    return found


def _logarithms(numbers: pd.DataFrame, answer: np.ndarray) -> tuple[pd.DataFrame, np.ndarray]:
    positive = numbers.loc[:, (numbers > 0).all()] if (answer > 0).all() else numbers.iloc[:, :0]
    return pd.DataFrame(np.log(positive)), np.log(np.where(answer > 0, answer, 1.0))


def _fit_exactly(numbers: pd.DataFrame, answer: np.ndarray) -> list[str]:
    """The fewest columns whose weighted sum is the answer; none where no sum is."""
    complete = numbers.loc[:, numbers.notna().mean() > 0.9]
    held = complete.notna().all(axis=1).to_numpy()
    complete, answer = complete[held], answer[held]
    # With nearly as many columns as rows, chance fits anything; the nearest columns are the ones to ask.
    nearest = complete.corrwith(pd.Series(answer, index=complete.index)).abs().sort_values(ascending=False)
    names = list(nearest.dropna().index[: max(1, len(answer) // 10)])
    if len(answer) < _LEAST or not names or np.ptp(answer) == 0:
        return []
    if _fit(complete[names], answer) < _EXACT:
        return []
    for name in reversed(list(names)):
        fewer = [other for other in names if other != name]
        if fewer and _fit(complete[fewer], answer) >= _EXACT:
            names = fewer
    return sorted(names, key=list(numbers.columns).index)


def _fit(numbers: pd.DataFrame, answer: np.ndarray) -> float:
    values = numbers.to_numpy(dtype=float)
    centred = (values - values.mean(axis=0)) / np.where(values.std(axis=0) > 0, values.std(axis=0), 1.0)
    shifted = answer - answer.mean()
    weights = np.linalg.lstsq(centred, shifted, rcond=None)[0]
    return float(1 - ((shifted - centred @ weights) ** 2).sum() / (shifted**2).sum())


def _tells(values: np.ndarray, answer: np.ndarray, classification: bool, weights: np.ndarray | None = None) -> float:
    """How well a small tree on one column alone predicts the answer on the rows it has not seen.

    :param weights: of each row, for a classification.
    """
    weights = np.ones(len(answer)) if weights is None else weights
    half = np.random.default_rng(0).permutation(len(answer)) < len(answer) // 2
    seen, unseen = values[half].reshape(-1, 1), values[~half].reshape(-1, 1)
    if classification:
        if len(set(answer[half])) < 2 or len(set(answer[~half])) < 2:
            return 0.0
        tree = DecisionTreeClassifier(max_leaf_nodes=64, min_samples_leaf=5, random_state=0)
        shares = tree.fit(seen, answer[half], weights[half]).predict_proba(unseen)[:, 1]
        return float(roc_auc_score(answer[~half], shares, sample_weight=weights[~half]))
    ranks = pd.Series(answer).rank().to_numpy()
    if np.ptp(ranks) == 0:
        return 0.0
    tree = DecisionTreeRegressor(max_leaf_nodes=64, min_samples_leaf=5, random_state=0)
    return float(r2_score(ranks[~half], tree.fit(seen, ranks[half]).predict(unseen)))


def _find_revisions(columns: dict[str, ColumnFacts], outcome: pd.Series, target: str) -> dict[str, str]:
    """A column that is another one, corrected later: where the two differ, the target does."""
    leaks: dict[str, str] = {}
    named = [facts for facts in columns.values() if facts.type is not None and facts.type.type == "category"]
    for i, one in enumerate(named):
        for other in named[i + 1 :]:
            values = set(one.values.dropna()) & set(other.values.dropna())
            if len(values) < 0.7 * min(one.distinct, other.distinct) or len(values) < 3:
                continue
            both = one.values.notna() & other.values.notna() & outcome.notna()
            differ = both & (one.values != other.values)
            same = both & ~differ
            if not 50 <= differ.sum() <= 0.5 * both.sum():
                continue
            apart, together = float(outcome[differ].mean()), float(outcome[same].mean())
            if 0.25 * together < apart < 1 - 0.25 * (1 - together):
                continue
            suspects = [facts.name for facts in (one, other) if _AFTERWARDS.search(facts.name.lower())]
            for name in suspects if len(suspects) == 1 else [one.name, other.name]:
                against = other.name if name == one.name else one.name
                where = f"where it differs from {against} ({int(differ.sum()):,} rows)"
                leaks[name] = f"{where}, {target} is {apart:.1%}, else {together:.1%}"
    return leaks
