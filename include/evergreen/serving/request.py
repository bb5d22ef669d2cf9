"""The rows of a request, read by the contract of config.yaml: a row means what it would mean in a JSON Lines file."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa

from evergreen.checks.deliveries import find_span
from evergreen.config.fields import ColumnType
from evergreen.config.model_folder import ModelFolder
from evergreen.errors import Refused
from evergreen.foreign_text import HALF
from evergreen.serving.row_expectations import RowRule, compile_rules
from evergreen.serving.values import NotPlain, Read, Rows, Value, as_value, compile_reader
from evergreen.sources.casting import cast_column
from evergreen.sources.json_lines import Number, as_text, load_json
from evergreen.storage.columns import find_column

# Of a value that does not fit, what is told; and of a request, how many such values.
_TOLD, _MISTAKES = 100, 100


@dataclass(frozen=True)
class Mistake:
    """One value of a request that does not fit.

    :param row: counted from 0; None where it is about the request as a whole.
    :param field: the column.
    :param found: what stands there, as text.
    :param valid: what was expected.
    """

    row: int | None
    field: str | None
    found: str
    valid: str


class RowsInvalid(Refused):
    """A request's rows do not fit the contract.

    :param mistakes: one a value.
    """

    def __init__(self, model: str, mistakes: list[Mistake]) -> None:
        self.mistakes = mistakes[:_MISTAKES]
        first = mistakes[0]
        places = [f"row {first.row}"] if first.row is not None else []
        where = ", ".join(places + ([first.field] if first.field is not None else [])) or "the request"
        more = f", and {len(mistakes) - 1} more" if len(mistakes) > 1 else ""
        super().__init__(f"model {model}: {where}: found {first.found}; valid: {first.valid}{more}")

    def tell(self) -> list[dict[str, Any]]:
        """The mistakes, as an answer lists them."""
        return [asdict(mistake) for mistake in self.mistakes]


@dataclass(frozen=True)
class RowContract:
    """What a row of a request must be.

    :param model: the model folder, whose contract with its batches it is.
    :param most_rows: how many a request may bring.
    :param rules: expectations of single rows.
    :param unasked: expectations that only a batch can be asked, for whoever reads the contract.
    :param readers: by column, how values in the plainest writing are read.
    """

    model: ModelFolder
    most_rows: int
    rules: tuple[RowRule, ...]
    unasked: tuple[str, ...]
    readers: Mapping[str, Read]

    @classmethod
    def of(cls, model: ModelFolder, most_rows: int) -> "RowContract":
        """The contract that a model folder has with its batches."""
        rules, unasked = compile_rules(model.expectations.rows)
        nulls = model.config.source.nulls
        readers = {name: compile_reader(declared, nulls) for name, declared in model.config.rows.columns.items()}
        return cls(model, most_rows, rules, unasked, readers)

    @property
    def columns(self) -> Mapping[str, ColumnType]:
        """The declared columns."""
        return self.model.config.rows.columns

    @property
    def required(self) -> tuple[str, ...]:
        """Columns in which a null is refused: without them nobody can say which row it is."""
        return (*self.model.config.rows.key, self.model.config.rows.event_time)

    def read(self, body: bytes, batch: str) -> Rows:
        """The rows of a request.

        :param body: ``{"rows": [{column: value, …}, …]}`` as JSON.
        :param batch: to which the rows are taken to belong.
        :returns: by declared column a value a row, in the request's order.
        :raises RowsInvalid: naming each row and field, what was found and what is valid.
        """
        rows = self._load(body)
        mistakes = list(islice(self._find_unknown(rows), _MISTAKES))
        read: dict[str, list[Value]] = {}
        for name, declared in self.columns.items():
            read[name] = self._read_column(name, declared, rows, mistakes)
        if not mistakes:
            mistakes = list(islice(self._find_unsound(read, batch), _MISTAKES))
        if mistakes:
            raise RowsInvalid(self.model.id, sorted(mistakes, key=lambda one: one.row or 0))
        return read

    def _load(self, body: bytes) -> list[dict[str, Any]]:
        try:
            given = load_json(body)
        except (ValueError, RecursionError) as error:
            found = f"no JSON: {error}" if isinstance(error, ValueError) else "JSON that is nested too deeply"
            raise RowsInvalid(self.model.id, [Mistake(None, None, found, _FORM)]) from None
        rows = given.get("rows") if isinstance(given, dict) else None
        if not isinstance(rows, list) or set(given) != {"rows"}:
            names = ", ".join(sorted(map(_tell_name, given))) if isinstance(given, dict) else ""
            found = f"the fields {names or 'none'}"[:_TOLD] if isinstance(given, dict) else _tell(given)
            raise RowsInvalid(self.model.id, [Mistake(None, None, found, _FORM)])
        if getattr(given, "twice", ()):
            raise RowsInvalid(self.model.id, [Mistake(None, "rows", "the field twice", "each field once")])
        if not 0 < len(rows) <= self.most_rows:
            valid = f"1 to {self.most_rows} rows a request"
            raise RowsInvalid(self.model.id, [Mistake(None, None, f"{len(rows)} rows", valid)])
        odd = [Mistake(i, None, _tell(row), "an object") for i, row in enumerate(rows) if not isinstance(row, dict)]
        if odd:
            raise RowsInvalid(self.model.id, odd)
        return rows

    def _find_unknown(self, rows: list[dict[str, Any]]) -> Iterator[Mistake]:
        """Fields that the contract does not have: one that is mistyped would go unseen where it has a default."""
        known = {name for column, declared in self.columns.items() for name in (column, *declared.renamed_from)}
        for i, row in enumerate(rows):
            for name in row.keys() - known:
                yield Mistake(
                    i, _tell_name(name), _tell(row[name]), f"no such field; there are {', '.join(self.columns)}"
                )
            for name in getattr(row, "twice", ()):
                yield Mistake(i, _tell_name(name), "the field twice", "each field once")

    def _read_column(
        self, name: str, declared: ColumnType, rows: list[dict[str, Any]], mistakes: list[Mistake]
    ) -> list[Value]:
        """One column of the rows; what does not fit is added to the mistakes."""
        try:
            read, reader = [], self.readers[name]
            for row in rows:
                read.append(reader(row[name]))
        except (NotPlain, KeyError):
            read = self._cast_column(name, declared, rows, mistakes)
        if name in self.required and None in read:
            told = {mistake.row for mistake in mistakes if mistake.field == name}
            missing = [i for i, value in enumerate(read) if value is None and i not in told]
            mistakes += [Mistake(i, name, "null", f"{_valid(declared)}, never null") for i in missing]
        return read

    def _cast_column(
        self, name: str, declared: ColumnType, rows: list[dict[str, Any]], mistakes: list[Mistake]
    ) -> list[Value]:
        """One column, read as one of a file is."""
        texts = list[str | None]()
        sources = [find_column(name, declared, row) for row in rows]
        if declared.has_default and not any(sources):
            return [as_value(declared.filler)] * len(rows)
        for i, (source, row) in enumerate(zip(sources, rows, strict=True)):
            value = row[source] if source is not None else None
            texts.append(as_text(value, declared.decimal or "."))
            if source is None or isinstance(value, dict | list) or _is_no_text(value):
                texts[-1] = None
                mistakes.append(Mistake(i, name, "nothing" if source is None else _tell(value), _valid(declared)))
        cast = cast_column(pa.array(texts, pa.string()), declared, self.model.config.source.nulls)
        for i in np.flatnonzero(cast.failed).tolist():
            mistakes.append(Mistake(i, name, _tell(rows[i][str(sources[i])]), cast.expected))
        return [as_value(value) for value in cast.values.to_pylist()]

    def _find_unsound(self, read: Rows, batch: str) -> Iterator[Mistake]:
        """Values that a batch would send to quarantine."""
        config, name = self.model.config, self.model.config.rows.event_time
        first, last = (one.replace(tzinfo=None) for one in find_span(config.calendar, config.source, batch))
        for i, moment in enumerate(read[name]):
            if not (isinstance(moment, datetime) and first <= moment <= last):
                yield Mistake(i, name, str(moment), f"from {first:%Y-%m-%d} to {last:%Y-%m-%d}")
        for rule in self.rules:
            for i, value in enumerate(read[rule.column]):
                if not rule.holds(value):
                    yield Mistake(i, rule.column, _tell(value), rule.valid)


_FORM = '{"rows": [{column: value, …}, …]}'


def _valid(declared: ColumnType) -> str:
    article = "an" if declared.type == "integer" else "a"
    return f"{article} {declared.type}{f' written as {declared.format}' if declared.format else ''}"


def _is_no_text(value: Any) -> bool:
    return isinstance(value, str) and HALF.search(value) is not None


def _tell(value: Any) -> str:
    """A value as an answer shows it: texts in quotes, numbers as they were written."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    text = "null" if value is None else str(value) if isinstance(value, Number) else repr(value)
    return _tell_name(text)


def _tell_name(name: str) -> str:
    """A field's name as an answer can hold it: half a character is no UTF-8."""
    return name.encode(errors="backslashreplace").decode()[:_TOLD]
