"""What the files cannot say: how it is asked, what was said, what came of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

from evergreen.batches import Every
from evergreen.scaffold.profile_columns import ColumnFacts

T = TypeVar("T")
# Of what could be said, no more is shown.
SHOWN = 12
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

    def __str__(self) -> str:
        """The flag, and what could be said by it."""
        valid = [f"\n    {name}  {why}".rstrip() for name, why in list(self.candidates.items())[:SHOWN]]
        more = len(self.candidates) - len(valid)
        return f"{self.flag}: {self.text}{''.join(valid)}{f'{chr(10)}    and {more} more' if more > 0 else ''}"


class UnfitError(Exception):
    """An answer that is missing, or does not fit the data."""


# Answers a question, told what was wrong with the answer before; None where nobody answers.
Ask = Callable[[Question, str | None], str | None]


def settle(question: Question, given: str | None, check: Callable[[str], T], ask: Ask) -> T:
    """Hold a given answer against the data, or ask until one fits.

    :raises UnfitError: if nobody answers, or what was given does not fit.
    """
    if given is not None:
        return check(given)
    problem: str | None = None
    while True:
        answer = ask(question, problem)
        if answer is None:
            raise UnfitError(problem or str(question))
        try:
            return check(answer)
        except UnfitError as unfit:
            problem = str(unfit)


@dataclass(frozen=True)
class Answers:
    """What was said by flags; None or empty where it has to be asked for."""

    key: tuple[str, ...] = ()
    event_time: str | None = None
    date_format: str | None = None
    decimal: tuple[str, ...] = ()
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
