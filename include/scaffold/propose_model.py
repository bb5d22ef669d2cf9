"""A model proposed from a history: which columns are declared, what is made of them, how much is learnt from."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from include.errors import FolderNotWritten
from include.scaffold.answers import Answers, Ask, Chosen
from include.scaffold.choose_answers import Chooser
from include.scaffold.find_keys import NAMES_A_ROW
from include.scaffold.find_leaks import find_leaks
from include.scaffold.place_rows import PlacedRows, place_rows
from include.scaffold.profile_columns import ColumnFacts, profile_columns
from include.scaffold.propose_expectations import Proposed, propose_for_labels, propose_for_rows
from include.scaffold.propose_sizes import Sizes, propose_sizes
from include.scaffold.read_files import HistoryFiles

# From this share of its variance between batches on, a column follows the calendar: every new batch would warn.
_SEASONAL = 0.8


@dataclass(frozen=True)
class FeaturePlan:
    """What features.py makes of the columns.

    :param numbers, flags, categories, dates: columns by what becomes of them.
    :param calendar: expressions of the event time ``at``, by the name of the feature.
    """

    numbers: tuple[str, ...]
    flags: tuple[str, ...]
    categories: tuple[str, ...]
    dates: tuple[str, ...]
    calendar: dict[str, str]

    @property
    def empty(self) -> bool:
        """Whether there is nothing to learn from."""
        return not (self.numbers or self.flags or self.categories or self.dates or self.calendar)


@dataclass(frozen=True)
class ModelProposal:
    """All that a model folder says.

    :param declared: the columns of the contract.
    :param leaks: evidence by column suspected to give the target away.
    :param left_out: reason by column that is left out otherwise.
    :param seasonal: declared columns that follow the calendar.
    """

    name: str
    files: HistoryFiles
    chosen: Chosen
    columns: dict[str, ColumnFacts]
    placed: PlacedRows
    declared: tuple[ColumnFacts, ...]
    leaks: dict[str, str]
    left_out: dict[str, str]
    seasonal: tuple[str, ...]
    sizes: Sizes
    features: FeaturePlan
    row_expectations: tuple[Proposed, ...]
    label_expectations: tuple[Proposed, ...]


def propose_model(name: str, files: HistoryFiles, given: Answers, ask: Ask) -> ModelProposal:
    """Look at a history, ask for what it cannot say, and propose a model.

    :raises FolderNotWritten: if answers are missing or do not fit the data, or nothing is left to learn from.
    """
    columns = profile_columns(files)
    chosen = Chooser(files, columns, given, ask).choose()
    event, target = chosen.event, chosen.target
    columns[event.name] = event
    left_out = _leave_out(columns, chosen)
    usable = {name: facts for name, facts in columns.items() if name not in (*left_out, *chosen.key, target.name)}
    usable[event.name] = event
    outcome = target.values.astype(float)
    leaks = find_leaks(usable, event.name, target.name, outcome, chosen.task == "classification")
    declared = tuple(
        facts for name, facts in columns.items() if name not in (*left_out, *leaks) and name != target.name
    )
    placed = place_rows(event.values, chosen.every)
    plan = _plan_features(declared, chosen)
    if plan.empty:
        told = "; ".join(f"{column}: {why}" for column, why in (leaks | left_out).items())
        raise FolderNotWritten(
            [f"{files.names}: no column is left to learn {target.name} from; {told or 'it has none'}"]
        )
    inside = placed.numbers >= 0
    labelled = np.unique(placed.numbers[inside & outcome.notna().to_numpy()], return_counts=True)[1]
    whole_year = bool(event.values.max() - event.values.min() >= pd.Timedelta(days=360))
    required = {*chosen.key, event.name}
    seasonal = _find_seasonal(declared, chosen, placed)
    return ModelProposal(
        name=name,
        files=files,
        chosen=chosen,
        columns=columns,
        placed=placed,
        declared=declared,
        leaks=leaks,
        left_out=left_out,
        seasonal=seasonal,
        sizes=propose_sizes(labelled, chosen.every),
        features=plan,
        row_expectations=tuple(propose_for_rows(list(declared), required, seasonal, placed, whole_year)),
        label_expectations=tuple(propose_for_labels(target, chosen.task, placed, whole_year)),
    )


def _leave_out(columns: dict[str, ColumnFacts], chosen: Chosen) -> dict[str, str]:
    """Why columns are not declared; the answers always are."""
    answers = (*chosen.key, chosen.event.name, chosen.target.name)
    reasons = {}
    for name, facts in columns.items():
        if name in answers:
            continue
        if facts.left_out:
            reasons[name] = facts.left_out
        elif len(facts.readings) > 1:
            forms = " or ".join(str(reading.form) for reading in facts.readings)
            reasons[name] = f"its dates read as {forms} alike; declare the right one"
        elif facts.unique and facts.type is not None and facts.type.type == "integer" and _counts_rows(facts, chosen):
            reasons[name] = "another value in each row: it names rows, or counts them"
    return reasons


def _counts_rows(facts: ColumnFacts, chosen: Chosen) -> bool:
    by_time = facts.values.iloc[chosen.event.values.argsort(kind="stable")]
    sorted_ = any(one.is_monotonic_increasing or one.is_monotonic_decreasing for one in (facts.values, by_time))
    return bool(NAMES_A_ROW.search(facts.name)) or (facts.rows >= 20 and sorted_)


def _plan_features(declared: tuple[ColumnFacts, ...], chosen: Chosen) -> FeaturePlan:
    def of(*types: str) -> tuple[str, ...]:
        alone = chosen.key if len(chosen.key) == 1 else ()
        return tuple(
            facts.name
            for facts in declared
            if facts.type is not None and facts.type.type in types
            if facts.name != chosen.event.name and facts.name not in alone and not facts.left_out
        )

    taken = {facts.name for facts in declared}
    calendar = {}
    for part, (seen, expression) in _calendar_parts(chosen.event.values).items():
        if seen:
            name = part if part not in taken else f"{part}_of_event"
            calendar[name] = expression
    return FeaturePlan(of("integer", "float"), of("boolean"), of("category"), of("timestamp", "date"), calendar)


def _calendar_parts(moments: pd.Series) -> dict[str, tuple[bool, str]]:
    """Features of the event time: whether the history shows enough of each, and how it is written."""
    held = moments.dropna()
    minutes = held.dt.hour * 60 + held.dt.minute
    hour = "at.dt.hour + at.dt.minute / 60" if held.dt.minute.nunique() > 1 else "at.dt.hour"
    # Within a year the day of the year only counts on, and no tree can go beyond what it has seen.
    years = held.max() - held.min() >= pd.Timedelta(days=540)
    return {
        "hour": (minutes.nunique() > 1, hour),
        "weekday": (held.dt.weekday.nunique() > 1, "at.dt.weekday"),
        "day_of_year": (bool(years), "at.dt.dayofyear"),
    }


def _find_seasonal(declared: tuple[ColumnFacts, ...], chosen: Chosen, placed: PlacedRows) -> tuple[str, ...]:
    """Numbers whose batches differ far more than their rows do."""
    found = []
    for facts in declared:
        if not facts.is_number or facts.name in (*chosen.key, chosen.event.name):
            continue
        values = facts.values.astype(float)
        groups = values.groupby(placed.numbers)
        freedom = int(values.notna().sum()) - groups.ngroups
        if groups.ngroups < 8 or freedom < groups.ngroups or not values.var():
            continue
        within = float(((values - groups.transform("mean")) ** 2).sum()) / freedom
        if within <= (1 - _SEASONAL) * float(values.var()):
            found.append(facts.name)
    return tuple(found)
