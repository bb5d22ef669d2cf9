"""Statistics of a batch: what a check, a page and Evidently's report read in the place of many rows.

They are made as rows are written and kept beside them. They follow from the rows, so whoever finds none makes them.
"""

import io
import logging
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from evergreen.config.fields import ColumnType
from evergreen.features.histograms import EXACT, Categories, Moments, Numbers, Texts
from evergreen.storage.columns import fill, find_column, read_as

Column = Numbers | Categories | Moments | Texts
_KINDS: dict[str, type[Column]] = {
    "float": Numbers, "integer": Numbers, "category": Categories, "boolean": Categories,
    "timestamp": Moments, "date": Moments, "string": Texts,
}  # fmt: skip
_BY_NAME: dict[str, type[Column]] = {kind.__name__: kind for kind in _KINDS.values()}
PREDICTION = "prediction"
PREDICTED = {PREDICTION: ColumnType(type="float")}
_FORM = b"1"
# What is kept of a column; each kind has some of it.
_SCHEMA = pa.schema(
    [
        ("name", pa.string()),
        ("kind", pa.string()),
        ("missing", pa.int64()),
        ("ends", pa.list_(pa.float64())),
        ("shift", pa.int64()),
        ("cells", pa.list_(pa.uint64())),
        ("counts", pa.list_(pa.int64())),
        ("names", pa.list_(pa.string())),
        ("rest", pa.int64()),
        ("limit", pa.int64()),
    ]
)
_logger = logging.getLogger(__name__)


class EvenSample:
    """At most 10,000 of rows that come in pieces, evenly from first to last.

    :param first: of rows that are part of more, how many come before them.
    :param of: how many there are in all, where that is known: the samples of all parts make up that of the whole.
    """

    def __init__(self, first: int = 0, of: int = 0) -> None:
        self._kept: list[pa.Table] = []
        self._rows, self._stride = first, 1
        while -(-of // self._stride) > EXACT:
            self._stride *= 2

    def add(self, rows: pa.Table) -> None:
        """Take rows in."""
        self._kept.append(_each(rows, self._stride, -self._rows % self._stride))
        self._rows += rows.num_rows
        while sum(one.num_rows for one in self._kept) > EXACT:
            self._stride *= 2
            # Every other of those that are kept, of which the first is row 0.
            self._kept = [_each(pa.concat_tables(self._kept), 2, 0)]

    @property
    def rows(self) -> pa.Table:
        """The rows of the sample; without a column where there are none."""
        return pa.concat_tables(self._kept) if self._kept else pa.table({})


class Statistics:
    """What is known of the rows of a batch, column by column.

    :param declared: the columns that are counted, by the types that say how.
    :param sample: of which rows; by default of those that are counted.
    :ivar rows: that were counted.
    :ivar columns: by name.
    :ivar sample: some of the rows, without texts.
    """

    def __init__(self, declared: Mapping[str, ColumnType], sample: EvenSample | None = None) -> None:
        self.rows = 0
        self.columns: dict[str, Column] = {name: _KINDS[column.type]() for name, column in declared.items()}
        self.sample = sample or EvenSample()

    @classmethod
    def of(cls, pieces: Iterable[pa.Table], declared: Mapping[str, ColumnType]) -> "Statistics":
        """Of rows in pieces, each of which lies in a processor's cache at best."""
        counted = cls(declared)
        for piece in pieces:
            counted.add(piece)
        return counted

    def add(self, rows: pa.Table) -> None:
        """Count rows."""
        self.rows += rows.num_rows
        for name, column in self.columns.items():
            column.add(rows.column(name))
        self.sample.add(rows.select([name for name, one in self.columns.items() if not isinstance(one, Texts)]))

    def merge(self, other: "Statistics") -> None:
        """Count what another has counted of the rows that come next: one of parts, which both sample as such."""
        self.rows += other.rows
        for name, column in self.columns.items():
            column.merge(other.columns[name])  # type: ignore[arg-type]
        self.sample.add(other.sample.rows)

    def read_as(self, declared: Mapping[str, ColumnType], held: Mapping[str, str]) -> "Statistics | None":
        """The same under the names of another contract; None where it counts what was not counted.

        :param held: the columns that the rows were sealed with; empty where their record does not tell.
        """
        renamed = Statistics({})
        renamed.rows = self.rows
        for name, column in declared.items():
            source = find_column(name, column, held or self.columns)
            found = self.columns.get(source) if source is not None else _repeat(column, self.rows)
            if not isinstance(found, _KINDS[column.type]):
                return None
            renamed.columns[name] = found
        shown = {name: one for name, one in declared.items() if not isinstance(renamed.columns[name], Texts)}
        renamed.sample.add(read_as(self.sample.rows, shown, held))
        return renamed

    def dump(self) -> bytes:
        """As they are kept: two streams of Arrow, a row for each column, and the sample."""
        described = pa.Table.from_pylist(
            [{"name": name, **_to_row(one)} for name, one in self.columns.items()], schema=_SCHEMA
        ).replace_schema_metadata({b"evergreen.statistics": _FORM, b"rows": str(self.rows).encode()})
        sink, options = io.BytesIO(), pa.ipc.IpcWriteOptions(compression="zstd")
        for table in (described, self.sample.rows.combine_chunks()):
            with pa.ipc.new_stream(sink, table.schema, options=options) as stream:
                stream.write_table(table)
        return sink.getvalue()

    @classmethod
    def parse(cls, content: bytes, where: str) -> "Statistics | None":
        """As they were kept; None where they are damaged or of another form, of which the log tells.

        :param where: for the message.
        """
        try:
            source = io.BytesIO(content)
            described = pa.ipc.open_stream(source).read_all()
            parsed, said = cls({}), described.schema.metadata
            if said[b"evergreen.statistics"] != _FORM:
                raise ValueError(f"form {said[b'evergreen.statistics']!r}, expected {_FORM!r}")
            parsed.rows = int(said[b"rows"])
            for i, name in enumerate(described.column("name").to_pylist()):
                parsed.columns[name] = _from_row(described.slice(i, 1))
            parsed.sample.add(pa.ipc.open_stream(source).read_all())
        except (pa.ArrowException, OSError, KeyError, ValueError, TypeError) as error:
            _logger.warning("%s: statistics cannot be read (%s); they are made anew from the rows", where, error)
            return None
        return parsed


def _each(rows: pa.Table, stride: int, first: int) -> pa.Table:
    """Every so many rows, from one of them on."""
    return rows if stride == 1 else rows.take(pa.array(range(first, rows.num_rows, stride), pa.int64()))


def _repeat(column: ColumnType, rows: int) -> Column:
    """A column of its default alone, counted."""
    counted = _KINDS[column.type]()
    counted.add(pa.chunked_array([fill(column, 1)]))
    counted.missing *= rows
    if isinstance(counted, Numbers):
        counted.counts = counted.counts * rows
    elif isinstance(counted, Categories):
        counted.counts = {name: rows for name in counted.counts}
    return counted


def _to_row(column: Column) -> dict[str, Any]:
    said = {**vars(column), "kind": type(column).__name__}
    if isinstance(column, Categories):
        said |= {"names": list(column.counts), "counts": list(column.counts.values())}
    return said


def _from_row(row: pa.Table) -> Column:
    said = {name: row.column(name)[0] for name in row.column_names}
    kind, missing = _BY_NAME[said["kind"].as_py()], said["missing"].as_py()
    if issubclass(kind, Texts):
        return kind(missing)
    if issubclass(kind, Categories):
        counts = dict(zip(said["names"].as_py(), said["counts"].as_py(), strict=True))
        return kind(missing, counts, said["rest"].as_py(), said["limit"].as_py())
    low, high = said["ends"].as_py()
    if issubclass(kind, Moments):
        return kind(missing, (low, high))
    cells, counts = (said[name].values.to_numpy() for name in ("cells", "counts"))
    return kind(missing, said["shift"].as_py(), cells, counts, (low, high))
