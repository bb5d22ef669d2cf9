"""Labels in files of their own: joined to the rows that they are about, with how long they took."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from evergreen.errors import FolderNotWritten
from evergreen.scaffold.answers import Answers
from evergreen.scaffold.assign_batches import AssignedRows
from evergreen.scaffold.follow_names import NamedFiles
from evergreen.scaffold.profile_columns import ColumnFacts, profile_column
from evergreen.scaffold.read_files import HistoryFiles, add_columns

_MAX_DELAY = 90


@dataclass(frozen=True)
class LabelHistory:
    """A history of labels.

    :param files: as they came.
    :param key: the columns that name a row, in both.
    :param columns: what else they hold: the target, and what comes with it.
    :param known: when a label became known; None where no column says so.
    :param remarks: what the reader should know of them.
    :param named: the files, where they are named by the batch in which they came; that counts before ``known``.
    """

    files: HistoryFiles
    key: tuple[str, ...]
    columns: tuple[str, ...]
    known: ColumnFacts | None
    remarks: tuple[str, ...]
    named: NamedFiles | None = None

    @property
    def times(self) -> pd.Series | None:
        """(labels,) when each became known; None where nothing says so."""
        if self.named is not None:
            return pd.Series(np.repeat(np.array(self.named.dates, dtype="datetime64[us]"), self.files.sizes))
        return self.known.values if self.known is not None else None

    def delays(self, rows: pd.DataFrame, assigned: AssignedRows) -> pd.Series:
        """(labelled rows,) batches from a row's to its label's, where the time of both is known.

        :param rows: the key of each row of the history, as text.
        """
        told = self.times
        if told is None:
            return pd.Series(dtype=float)
        moments = self.files.texts[list(self.key)].assign(known=told.to_numpy())
        times = rows[list(self.key)].merge(moments.drop_duplicates(list(self.key), keep="last"), how="left")["known"]
        held = times.notna().to_numpy() & (assigned.numbers >= 0)
        calendar, stamps = assigned.calendar, times[held].dt.tz_localize("UTC")
        known = [calendar.index(calendar.containing(stamp.to_pydatetime())) for stamp in stamps]
        return pd.Series(np.maximum(0, np.array(known, dtype=float) - assigned.numbers[held]), index=times.index[held])


def join_labels(rows: HistoryFiles, labels: HistoryFiles, given: Answers) -> tuple[HistoryFiles, LabelHistory]:
    """The rows with what the labels say of them, by the columns that both have.

    :raises FolderNotWritten: if the two share no key, the labels lack the target, or nothing tells which of their dates
        is that at which they became known.
    """
    shared = [name for name in labels.rows.column_names if name in rows.rows.column_names and name != given.target]
    key = given.key or tuple(shared)
    lacks = [name for name in key if name not in shared]
    if not key or lacks:
        told = f"lacks {', '.join(lacks)}" if lacks else "shares no column with the rows"
        raise FolderNotWritten([f"--labels: {labels.names} {told}; expected the key of the row that a label is about"])
    own = tuple(name for name in labels.rows.column_names if name not in key)
    if given.target is not None and given.target not in own:
        raise FolderNotWritten([f"--target {given.target}: no such column in {labels.names}; it has {', '.join(own)}"])
    texts, names = labels.texts, list(key)
    again = texts.duplicated(names, keep="last")
    joined = rows.texts[names].merge(texts[~again], how="left", on=names)
    about = texts[names].merge(rows.texts[names].drop_duplicates(), how="left", on=names, indicator=True)["_merge"]
    remarks = {
        "labels come again for the same row: the last one counts": int(again.sum()),
        "labels are about no row of the history": int((about == "left_only").sum()),
    }
    remarked = tuple(f"{count:,} of {len(texts):,} {what}" for what, count in remarks.items() if count)
    stated = {name: of for name, of in labels.stated.items() if name in own}
    history = LabelHistory(labels, key, own, _find_known(labels, own, given), remarked)
    return add_columns(rows, joined[list(own)].fillna(""), stated), history


def propose_max_delay(delays: pd.Series) -> int:
    """Batches that a label may come after its row: twice the longest seen, for a history ends before the longest do."""
    return max(_MAX_DELAY, 2 * int(delays.max())) if len(delays) else _MAX_DELAY


def describe_delays(delays: pd.Series, outcome: pd.Series, classification: bool, every: str) -> list[str]:
    """How late labels come, and whether early ones are like late ones."""
    if not len(delays):
        return []
    middle, most = delays.quantile(0.5), delays.quantile(0.9)
    many = "" if round(middle) == 1 else "s"
    told = [f"half of the labels came within {middle:.0f} {every}{many}, nine in ten within {most:.0f}"]
    values = outcome.loc[delays.index].astype(float)
    # Most may come at one and the same age, such as what did not happen in all the time that it might have.
    sooner = max((delays <= middle, delays < middle), key=lambda sooner: min(sooner.sum(), (~sooner).sum()))
    early, late = values[sooner], values[~sooner]
    if min(len(early), len(late)) >= 50:
        shown = ".1%" if classification else ".4g"
        told.append(
            f"on average {early.mean():{shown}} in the earlier {sooner.mean():.0%}, {late.mean():{shown}} in the others"
        )
    return told


def _find_known(labels: HistoryFiles, own: tuple[str, ...], given: Answers) -> ColumnFacts | None:
    if given.label_time is not None:
        if given.label_time not in labels.rows.column_names:
            names = ", ".join(labels.rows.column_names)
            problem = f"--label-time {given.label_time}: no such column in {labels.names}; it has {names}"
            raise FolderNotWritten([problem])
        facts = profile_column(labels, given.label_time)
        if not facts.is_date:
            raise FolderNotWritten([f"--label-time {given.label_time}: does not read as dates"])
        return facts
    dates = [facts for facts in (profile_column(labels, name) for name in own) if facts.is_date]
    if len(dates) > 1:
        names = ", ".join(facts.name for facts in dates)
        raise FolderNotWritten([f"--label-time: which of {names} says when a label became known?"])
    return dates[0] if dates else None
