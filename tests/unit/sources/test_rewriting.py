"""A file without some of its rows: what is left stands in it as it came, or the file goes as a whole."""

import functools
import gzip
import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evergreen.config.feeds_config import FilesConfig
from evergreen.sources.parsing import parse_file
from evergreen.sources.rewriting import write_without

CSV = 'id;text\r\n1;"two\r\nlines; ""quoted"""\r\n\r\n2;b\r\n3;ä\r\n'
JSON = '{"id": 1, "a": 1.50}\n\n{"id": 2, "a": null}\n{"id": 3, "a": 2}\n'


def source(name, **changes):
    return FilesConfig.model_validate({"files": f"x_{{batch:%Y-%m-%d}}{name}", **changes})


def drop(name, content, *numbers, **changes):
    files = source(name, **changes)
    parse = functools.partial(parse_file, name, files=files)
    return write_without(name, content, files, set(numbers), lambda held: parse(content=held))


@pytest.mark.parametrize(
    ("number", "left"),
    [
        (1, "id;text\r\n2;b\r\n3;ä\r\n"),
        (2, 'id;text\r\n1;"two\r\nlines; ""quoted"""\r\n3;ä\r\n'),
        (3, 'id;text\r\n1;"two\r\nlines; ""quoted"""\r\n2;b\r\n'),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_csv_keeps_its_other_rows_as_they_were_written(number, left, encoding):
    changes = {"encoding": encoding, "delimiter": ";"}
    assert drop("x.csv", CSV.encode(encoding), number, **changes) == left.encode(encoding)
    packed = drop("x.csv.gz", gzip.compress(CSV.encode(encoding)), number, **changes)
    assert gzip.decompress(packed) == left.encode(encoding)


def test_json_lines_keep_their_numbers_as_written():
    # Rows are numbered by line; the second one is empty.
    assert drop("x.jsonl", JSON.encode(), 3) == b'{"id": 1, "a": 1.50}\n\n{"id": 3, "a": 2}\n'


def test_parquet_keeps_its_types():
    rows = pa.table({"id": pa.array([1, 2, 3], pa.int32()), "t": pa.array(["a", "b", None]).dictionary_encode()})
    sink = io.BytesIO()
    pq.write_table(rows, sink)
    left = pq.read_table(io.BytesIO(drop("x.parquet", sink.getvalue(), 2)))
    assert left.to_pydict() == {"id": [1, 3], "t": ["a", None]}
    assert left.schema.field("id").type == pa.int32()


@pytest.mark.parametrize(
    ("name", "content", "numbers"),
    [
        # Nothing would be left of it.
        ("x.csv", b"id,a\n1,2\n", (1,)),
        # What is left would lack a column that only the row has.
        ("x.jsonl", b'{"id": 1}\n{"id": 2, "only": 3}\n', (2,)),
    ],
)
def test_what_cannot_be_written_without_them_is_not(name, content, numbers):
    assert drop(name, content, *numbers) is None
