"""The exception tree.

::

    EvergreenError
    ├── Refused                  deterministic: trying again gives the same answer
    │   ├── ConfigInvalid        a model folder breaks its contract
    │   ├── ModelNotFound        no model folder of that name
    │   ├── FolderNotWritten     a model folder cannot be proposed from these files and answers
    │   ├── NotComparable        two states of a model folder cannot be compared by a replay
    │   ├── FileUnreadable       a source file cannot be read as what it is declared to be
    │   │   └── FileRefused      a source file is not read at all
    │   ├── SourceChanged        a sealed file is not what its record says
    │   ├── RowsRemoved          what it needs was forgotten, or removed by retention
    │   ├── IdentityChanged      a model folder names batches or rows otherwise than its ledger
    │   ├── SchemaChanged        rows do not fit the table that earlier ones are in
    │   ├── FeaturesInvalid      a model's own code raised, or returned other rows or columns
    │   │   └── CodeUnsafe       it ended its process, or ran for longer than its time limit
    │   ├── ModelIncompatible    a registered model cannot read these rows, or be loaded as packed
    │   ├── BatchRejected        a batch failed validation as a whole and is in quarantine
    │   ├── BatchMissing         a batch did not come in its time
    │   ├── ExtraMissing         a package that only some need is not installed
    │   ├── RecordUnreadable     a record of the ledger is damaged, or a newer version wrote it
    │   └── ApprovalMissing      an attempt that was refused, or waits for a human
    ├── NotReady                 something earlier has not happened yet: wait, then try again
    └── Outage                   a service or a store did not answer: try again
        └── LandingAbsent        a landing place is not there, or not yet
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def _rebuild(kind: type[Exception], message: str, fields: dict[str, Any]) -> Exception:
    error = kind.__new__(kind, message)
    vars(error).update(fields)
    return error


class EvergreenError(Exception):
    """Everything that Evergreen raises on purpose."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Left to itself pickle would call each class with its message alone: between processes the error would be lost.
        return _rebuild, (type(self), str(self), vars(self))


class Refused(EvergreenError):
    """A deterministic refusal; a retry would meet the same data and the same rule."""


class ConfigInvalid(Refused):
    """A model folder breaks its contract.

    :param path: the file at fault.
    :param problems: one line each: field, what was found, what is valid.
    """

    def __init__(self, path: str, problems: list[str]) -> None:
        self.path, self.problems = path, problems
        super().__init__("\n".join(f"{path}: {problem}" for problem in problems))


class ModelNotFound(Refused):
    """No model folder of that name in any of the roots."""


class FolderNotWritten(Refused):
    """A model folder cannot be proposed from these files and answers.

    :param problems: one each: the flag or the column, what was found, what to do.
    """

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class NotComparable(Refused):
    """Two states of a model folder cannot be compared: one cannot be had or replayed, or they predict other things."""


class FileUnreadable(Refused):
    """A source file cannot be read as what it is declared to be.

    :param file: name of the file.
    :param line: 1-based line at fault, or None where the file as a whole is.
    :param problem: what was found, and what was expected.
    """

    def __init__(self, file: str, line: int | None, problem: str) -> None:
        self.file, self.line, self.problem = file, line, problem
        super().__init__(f"{file}{f', line {line}' if line else ''}: {problem}")


class FileRefused(FileUnreadable):
    """A source file is not read at all, whatever it holds: it is no regular file in its place, or beyond a limit."""


class SourceChanged(Refused):
    """A sealed file, or a table's rows, are not what their record says."""


class RowsRemoved(Refused):
    """What was asked for needs rows that were forgotten, or had reached the age at which they are removed."""


class IdentityChanged(Refused):
    """A model folder names batches or rows otherwise than those that are on record."""


class SchemaChanged(Refused):
    """Rows do not fit the table that earlier ones are in."""


class FeaturesInvalid(Refused):
    """A model's own code raised, or returned other rows or columns than its contract says."""


class CodeUnsafe(FeaturesInvalid):
    """A model's own code ended its process, or ran for longer than its time limit."""


class ModelIncompatible(Refused):
    """A registered model cannot read these rows, or cannot be loaded as it was packed."""


class BatchRejected(Refused):
    """A batch failed validation as a whole: all of it is in quarantine, nothing was published."""


class BatchMissing(Refused):
    """A batch did not come in its time; later batches go on without it."""


class ApprovalMissing(Refused):
    """An attempt that was refused, or that only a human may pass and nobody has."""


class ExtraMissing(Refused):
    """A package that only some need is not installed; the message names the extra that brings it."""


class RecordUnreadable(Refused):
    """A record of the ledger is damaged, or was written by a newer version of Evergreen."""


class NotReady(EvergreenError):
    """Something earlier has not happened yet."""


class Outage(EvergreenError):
    """A service or a store did not answer.

    :param place: what did not, by a name that is the same for all models that use it; empty where none other does.
    """

    def __init__(self, message: str, place: str = "") -> None:
        super().__init__(message)
        self.place = place


class LandingAbsent(Outage):
    """A landing place is not there, or not yet: whether anything has come to it nobody knows."""


@contextmanager
def needs_extra(name: str, what: str) -> Iterator[None]:
    """Say which extra brings a package that is imported in the block, where it is not installed.

    :param what: what is to be done with it, for the message.
    :raises ExtraMissing: if the import fails.
    """
    try:
        yield
    except ImportError as error:
        wanted = f"pip install 'airflow-provider-evergreen[{name}]'"
        raise ExtraMissing(f"{what} needs the package {error.name}, which is not installed; {wanted}") from error
