"""A model proposed from a history: which columns are declared, what is made of them, how much is learnt from."""

from dataclasses import dataclass, replace
from datetime import UTC, timedelta

import numpy as np
import pandas as pd

from evergreen.batches import Every
from evergreen.config.fields import ColumnType
from evergreen.errors import FolderNotWritten
from evergreen.scaffold.answers import Answers, Ask, Chosen
from evergreen.scaffold.assign_batches import AssignedRows, assign_batches
from evergreen.scaffold.choose_answers import Chooser
from evergreen.scaffold.find_clocks import find_clocks
from evergreen.scaffold.find_keys import NAMES_A_ROW
from evergreen.scaffold.find_leaks import find_leaks
from evergreen.scaffold.follow_names import follow_names
from evergreen.scaffold.join_labels import LabelHistory, join_labels
from evergreen.scaffold.plan_features import FeaturePlan, plan_features
from evergreen.scaffold.profile_columns import ColumnFacts, profile_columns
from evergreen.scaffold.propose_expectations import Proposed, propose_for_labels, propose_for_rows
from evergreen.scaffold.read_files import HistoryFiles

# From this share of its variance between batches on, a column follows the calendar: every new batch would warn.
_SEASONAL = 0.8
# Labelled rows over which outcomes are checked where config.yaml says nothing.
_CHECKED = 200
_YEAR = timedelta(days=360)


@dataclass(frozen=True)
class ModelProposal:
    """All that a model folder says.

    :param declared: the columns of the contract.
    :param leaks: evidence by column suspected to give the target away.
    :param telling: how well a column alone tells the target, of those that tell most.
    :param left_out: reason by column that is left out otherwise.
    :param seasonal: declared columns that follow the calendar.
    :param check_rows: labelled rows that a check of outcomes can count on.
    :param pattern: of the files, where they are named by their batches.
    :param labels: the labels, where they have files of their own.
    :param delays: (rows with a label whose time is known,) batches that it took.
    """

    name: str
    files: HistoryFiles
    chosen: Chosen
    columns: dict[str, ColumnFacts]
    assigned: AssignedRows
    declared: tuple[ColumnFacts, ...]
    leaks: dict[str, str]
    telling: dict[str, str]
    left_out: dict[str, str]
    seasonal: tuple[str, ...]
    check_rows: int
    features: FeaturePlan
    row_expectations: tuple[Proposed, ...]
    label_expectations: tuple[Proposed, ...]
    pattern: str | None
    labels: LabelHistory | None
    delays: pd.Series


def propose_model(
    name: str, files: HistoryFiles, given: Answers, ask: Ask, label_files: HistoryFiles | None = None
) -> ModelProposal:
    """Look at a history, ask for what it cannot say, propose a model.

    :param label_files: the labels, where they do not stand in the rows.
    :raises FolderNotWritten: if answers are missing or do not fit the data, or nothing is left to learn from.
    """
    labels = None
    if label_files is not None:
        files, labels = join_labels(files, label_files, given)
        given = replace(given, key=labels.key)
    columns = profile_columns(files)
    chosen = Chooser(files, columns, given, ask).choose()
    event, target = chosen.event, chosen.target
    columns[event.name] = event
    assigned, pattern = _follow(files, event.values, chosen.every)
    if labels is not None:
        labels = replace(labels, named=follow_names(labels.files.paths, chosen.every))
    whole_year = assigned.calendar.starts_at(assigned.span) - assigned.calendar.start >= _YEAR
    declared, leaks, telling, left_out = _select_columns(columns, chosen, given, assigned, labels, whole_year)
    plan = plan_features(declared, chosen, assigned)
    if plan.empty:
        told = "; ".join(f"{column}: {why}" for column, why in (leaks | left_out).items())
        raise FolderNotWritten(
            [f"{files.names}: no column is left to learn {target.name} from; {told or 'it has none'}"]
        )
    is_labelled = (assigned.numbers >= 0) & target.values.notna().to_numpy()
    labelled = np.unique(assigned.numbers[is_labelled], return_counts=True)[1]
    required = {*chosen.key, event.name}
    return ModelProposal(
        name=name,
        files=files,
        chosen=chosen,
        columns=columns,
        assigned=assigned,
        declared=declared,
        leaks=leaks,
        telling=telling,
        left_out=left_out,
        seasonal=_find_seasonal(declared, chosen, assigned),
        check_rows=min(_CHECKED, max(2, int(2 * np.median(labelled)))) if len(labelled) else _CHECKED,
        features=plan,
        row_expectations=tuple(propose_for_rows(list(declared), required, assigned, whole_year)),
        label_expectations=tuple(propose_for_labels(target, chosen.task, assigned, whole_year)),
        pattern=pattern,
        labels=labels,
        delays=labels.delays(files.texts, assigned) if labels is not None else pd.Series(dtype=float),
    )


def _select_columns(
    columns: dict[str, ColumnFacts],
    chosen: Chosen,
    given: Answers,
    assigned: AssignedRows,
    labels: LabelHistory | None,
    whole_year: bool,
) -> tuple[tuple[ColumnFacts, ...], dict[str, str], dict[str, str], dict[str, str]]:
    """The columns that are declared, the suspected leaks, what tells most, and what is left out, with the reasons."""
    event, target = chosen.event, chosen.target
    left_out = _leave_out(columns, chosen, given)
    if labels is not None:
        left_out |= {name: "comes with the label" for name in labels.columns if name != target.name}
    answers = (*chosen.key, event.name, target.name)
    columns |= {name: _as_usable(columns[name]) for name in given.keep if name not in answers}
    usable = {name: facts for name, facts in columns.items() if name not in (*left_out, *chosen.key, target.name)}
    usable[event.name] = event
    classification, outcome, late = chosen.task == "classification", target.values.astype(float), labels is not None
    suspected, telling = find_leaks(usable, event.name, target.name, outcome, classification, assigned.numbers, late)
    leaks = {name: why for name, why in suspected.items() if name not in given.keep}
    rest = [facts for name, facts in usable.items() if name not in (*leaks, *given.keep)]
    left_out |= find_clocks(rest, event, assigned, whole_year)
    gone = (*left_out, *leaks, target.name)
    return tuple(facts for name, facts in columns.items() if name not in gone), leaks, telling, left_out


def _follow(files: HistoryFiles, moments: pd.Series, every: Every) -> tuple[AssignedRows, str | None]:
    """The rows by batch, and the pattern of the files if most rows lie in the batch that their file is named by."""
    named = follow_names(files.paths, every)
    if named is not None:
        assigned = assign_batches(moments, every, min(named.dates))
        calendar = assigned.calendar
        batches = [calendar.index(calendar.containing(date.replace(tzinfo=UTC))) for date in named.dates]
        if min(batches) >= 0 and (np.repeat(batches, files.sizes) == assigned.numbers).mean() > 0.5:
            return assigned, named.pattern
    return assign_batches(moments, every), None


def _leave_out(columns: dict[str, ColumnFacts], chosen: Chosen, given: Answers) -> dict[str, str]:
    """Why columns are not declared; the answers always are, and what is to be kept."""
    answers = (*chosen.key, chosen.event.name, chosen.target.name)
    reasons = {}
    for name, facts in columns.items():
        if name in answers or name in given.keep:
            continue
        if name in given.drop:
            reasons[name] = "by --drop"
        elif facts.left_out:
            reasons[name] = facts.left_out.why
        elif len(facts.readings) > 1:
            forms = " or ".join(str(reading.form) for reading in facts.readings)
            reasons[name] = f"its dates read as {forms} alike; declare the right one"
        elif facts.unique and facts.type is not None and facts.type.type == "integer" and _counts_rows(facts, chosen):
            reasons[name] = "another value in each row: it names rows, or counts them"
    return reasons


def _as_usable(facts: ColumnFacts) -> ColumnFacts:
    """A column that is kept whatever speaks against it; of one without a known type any text is a category."""
    text, remark = facts.type is None or facts.type.type == "string", facts.remark
    if not remark and facts.left_out is not None and facts.left_out.kind == "constant":
        remark = f"kept, although it {facts.left_out.why}"
    return replace(facts, left_out=None, remark=remark, type=ColumnType(type="category") if text else facts.type)


def _counts_rows(facts: ColumnFacts, chosen: Chosen) -> bool:
    by_time = facts.values.iloc[chosen.event.values.argsort(kind="stable")]
    counts = any(one.is_monotonic_increasing or one.is_monotonic_decreasing for one in (facts.values, by_time))
    return bool(NAMES_A_ROW.search(facts.name)) or (facts.rows >= 20 and counts)


def _find_seasonal(declared: tuple[ColumnFacts, ...], chosen: Chosen, assigned: AssignedRows) -> tuple[str, ...]:
    """Numbers whose batches differ far more than their rows do."""
    found = []
    for facts in declared:
        if not facts.is_number or facts.name in (*chosen.key, chosen.event.name):
            continue
        groups = (values := facts.values.astype(float)).groupby(assigned.numbers)
        freedom = int(values.notna().sum()) - groups.ngroups
        if groups.ngroups < 8 or freedom < groups.ngroups or not values.var():
            continue
        within = float(((values - groups.transform("mean")) ** 2).sum()) / freedom
        if within <= (1 - _SEASONAL) * float(values.var()):
            found.append(facts.name)
    return tuple(found)
