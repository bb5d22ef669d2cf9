"""What the files cannot say: how it is asked, what was said, what came of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from evergreen.batches import Every
from evergreen.scaffold.profile_columns import ColumnFacts

Task = Literal["regression", "classification"]


@dataclass(frozen=True)
class Question:
    """One thing that the files cannot say.

    :param flag: the flag that answers it.
    :param text: the question.
    :param candidates: what is possible, each with what speaks for it.
    :param proposal: the answer that the data make likely; None where they make none.
    """

    flag: str
    text: str
    candidates: dict[str, str]
    proposal: str | None = None


# Answers a question, told what was wrong with the answer before; None where nobody answers.
Ask = Callable[[Question, str | None], str | None]


@dataclass(frozen=True)
class Answers:
    """What was said by flags; None or empty where it has to be asked for."""

    key: tuple[str, ...] = ()
    event_time: str | None = None
    date_format: str | None = None
    target: str | None = None
    every: str | None = None
    keep: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    task: Task | None = None
    label_time: str | None = None


@dataclass(frozen=True)
class Chosen:
    """The answers, held against the data.

    :param remarks: what the reader should know of them, by column.
    """

    key: tuple[str, ...]
    event: ColumnFacts
    target: ColumnFacts
    every: Every
    task: Task
    remarks: dict[str, str]
