"""Feeds: files or a query, in all the shapes that config.yaml may give them."""

from datetime import datetime, timedelta

import pytest

from evergreen.config.feeds_config import QueryConfig
from evergreen.config.model_folder import load_model_folder
from evergreen.config.patterns import FilePattern
from evergreen.errors import ConfigInvalid


def test_a_source_may_have_a_name(write_folder, edit_config):
    text = edit_config("source:\n", "source:\n trips:\n")
    text = text.replace('\n  files: "trips', '\n  files: "trips')
    assert load_model_folder(write_folder(config=text)).config.source.files.text == "trips_{batch:%Y-%m-%d}*.csv"


QUERY = "{sql: SELECT * FROM t WHERE at >= :start AND at < :end, database: TRIPS_DB}"


def of_source(edit_config, source):
    """The sound config.yaml with another source."""
    text = edit_config("source:\n", "SOURCE")
    return f"{text.partition('SOURCE')[0]}source: {source}\n{text[text.index('rows:') :]}"


def test_a_source_may_be_a_query(write_folder, edit_config):
    source = load_model_folder(write_folder(config=of_source(edit_config, QUERY))).config.source
    assert isinstance(source, QueryConfig)
    assert (source.database, source.wait, source.complete) == ("TRIPS_DB", timedelta(hours=6), None)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("distance: float", "distance: {type: float, decimal: ','}"),
        ("{minutes: float}", "{minutes: {type: float, thousands: ','}}"),
    ],
)
def test_a_query_returns_numbers_and_no_text_in_a_format(old, new, write_folder, edit_config):
    text = edit_config(old, new)
    load_model_folder(write_folder(name="files", config=text))
    text = text.replace('files: "labels_{batch:%Y-%m-%d}.csv"', "sql: SELECT :batch\n  database: DB")
    text = text[: text.index("source:")] + f"source: {QUERY}\n" + text[text.index("rows:") :]
    with pytest.raises(
        ConfigInvalid, match="found decimal, thousands, unit; valid: in files alone, a query returns numbers"
    ):
        load_model_folder(write_folder(name="query", config=text))


def test_labels_may_be_a_query(write_folder, edit_config):
    text = edit_config('files: "labels_{batch:%Y-%m-%d}.csv"', "sql: SELECT id FROM l WHERE d = :batch\n  database: DB")
    labels = load_model_folder(write_folder(config=text)).config.labels
    assert isinstance(labels, QueryConfig)
    assert (labels.column, labels.wait) == ("minutes", timedelta(hours=12))


FILES = '{files: "t_{batch:%Y-%m-%d}.csv"}'


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (f"{{a: {FILES}, b: {FILES}}}", "found 2 sources: a, b; valid: one so far, joined before it lands"),
        ("{sql: SELECT 1, database: TRIPS_DB}", "valid: a query with :start and :end, or :batch, in it"),
        ("{sql: 'SELECT :batch', database: 'postgresql://me:hunter2@host/db'}", "the name of an environment variable"),
        (
            f"{{sql: 'SELECT :batch', database: 'postgresql://me:{'hunter2' * 9}@{'h' * 90}/db'}}",
            "an environment variable",
        ),
        ("{sql: 'SELECT :batch', database: 'postgresql://me:hunter2/hunter2@host/db'}", "an environment variable"),
        ("{sql: 'SELECT :batch'}", "source.database: missing"),
        ("{sql: 'SELECT :batch', database: D, complete: {marker: x}}", "source.complete.marker: unknown field"),
        (
            "{sql: 'SELECT :batch', database: D, delimiter: ';'}",
            "source.delimiter: unknown field; it belongs to",
        ),
        ("{file: a.csv}", "source.file: unknown field; did you mean files?"),
        ('{files: "t_{batch:%Y-%m-%d}.csv", location: in/here}', "valid: a URI such as s3://bucket/prefix, or an abs"),
    ],
)
def test_a_source_that_cannot_be_is_refused(source, problem, write_folder, edit_config):
    with pytest.raises(ConfigInvalid) as raised:
        load_model_folder(write_folder(config=of_source(edit_config, source)))
    assert problem in str(raised.value)
    assert "hunter2" not in str(raised.value)


def test_labels_inside_the_rows_have_no_files_to_describe(write_folder, edit_config):
    text = edit_config("labels:\n", "LABELS")
    text = text.partition("LABELS")[0] + "labels: {target: {minutes: float}, delimiter: ';'}\n"
    text += edit_config("labels:\n", "LABELS")[edit_config("labels:\n", "LABELS").index("features: ") :]
    with pytest.raises(ConfigInvalid, match=r"labels\.delimiter: unknown field; it belongs to another form"):
        load_model_folder(write_folder(config=text))


@pytest.mark.parametrize(("written", "named"), [("\u00e9", "e\u0301"), ("e\u0301", "\u00e9")])
def test_a_name_fits_however_its_accents_are_written(written, named):
    pattern = FilePattern(f"caf{written}/{{batch:%Y-%m-%d}}*.csv")
    assert pattern.moment_of(f"caf{named}/2024-01-31b.csv") == datetime(2024, 1, 31)
    assert pattern.leads_below(f"caf{named}")
