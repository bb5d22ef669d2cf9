"""A person's rows are forgotten: no byte of them is left, what is left is read as before, and who asks is told so."""

import json
import shutil
from datetime import date
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from evergreen import read_predictions
from evergreen.errors import NotReady, Refused, RowsRemoved
from evergreen.records import BatchRecord, ForgettingRecord, ForgottenRecord
from evergreen.replay.runner import Runner
from evergreen.replay.trace import trace_prediction
from evergreen.steps.forget_rows import describe_forgotten, forget_rows
from evergreen.steps.ingest_batch import ingest_batch
from evergreen.steps.reingest_batch import reingest_batch
from evergreen.steps.reproduce_model import reproduce_model
from evergreen.steps.rescore_batches import rescore_batches
from evergreen.steps.score_batch import score_batch
from evergreen.storage.lake import Lake
from evergreen.storage.ledger import Ledger
from evergreen.storage.remover import Remover
from evergreen.storage.spool import Spool
from tests.dying import Killed, dying
from tests.short_loop import records, tables
from tests.unit.small_loop import ROWS, SmallLoop, day, doubled, make_rows
from tests.unit.views import write_view

PERSON, OTHERS, BATCHES = "ada-lovelace", "grace-hopper", 4
VIEW = """\
version: 1
source: small
lookback: 1
key: [who]
event_time: at
reads: [x]
columns: {trips: integer}
ttl: 9d
"""
VIEW_PY = """\
def build_view(rows):
    return rows.groupby("who").agg(at=("at", "max"), trips=("x", "size")).reset_index()
"""
DAY = date(2026, 12, 1)
ROWS_GONE = {
    "clean": 4, "labels": 8, "predictions": 3, "quarantine_rows": 4, "answers": 1, "@views/people.v1": 4,
}  # fmt: skip
SECRET = "not-a-number-of-ada"
CHANGES = {
    "rows": {
        "key": ["id"],
        "event_time": "at",
        "columns": {"id": "string", "who": "string", "at": "timestamp", "x": "float"},
    },
    "labels": {
        "files": "labels_{batch:%Y-%m-%d}.csv",
        "complete": {"marker": "rows_{batch:%Y-%m-%d}.done"},
        "key": ["id"],
        "target": {"y": "float"},
    },
    "retrain": {"any": ["never"]},
    "serving": {"answers": True},
}


def land(loop, number):
    """A day of forty trips: two of Ada's, one of which is broken."""
    rows = make_rows(number, doubled)
    rows["id"], rows["who"] = [f"trip-{one}" for one in rows["id"]], OTHERS
    rows["x"] = rows["x"].astype(object)
    rows.loc[7:8, "who"] = PERSON
    rows.loc[8, "x"] = SECRET
    folder = Path(loop.at.landing) / loop.model.id
    folder.mkdir(parents=True, exist_ok=True)
    rows[["id", "who", "at", "x"]].to_csv(folder / f"rows_{day(number)}.csv", index=False)
    rows[["id", "y"]].to_csv(folder / f"labels_{day(number)}.csv", index=False)
    (folder / f"rows_{day(number)}.done").touch()


def answer(loop):
    """Two requests that were answered online, one of them for Ada."""
    lines = [
        {"request_id": who, "row": 0, "at": "2024-01-04T12:00:00+00:00", "online_batch": day(5), "version": "2"}
        | {"arm": "champion", "prediction": 1.5, "decision": None, "shadow": None, "failed": False}
        | {"key": f'["{who}"]', "values": f'{{"id": "{who}", "who": "{person}", "x": 0.5}}'}
        for who, person in (("r-1", PERSON), ("r-2", OTHERS))
    ]
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    Spool(loop.at, "small").write("a.jsonl", text.encode())


def run(loop, *numbers):
    for number in numbers:
        land(loop, number)
        Runner(loop.model, loop.at, sinks=()).run_batch(day(number))


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    place = tmp_path_factory.mktemp("lived")
    write_view(place, VIEW, VIEW_PY, "people")
    loop = SmallLoop.under(place, **CHANGES).using(features={"views": {"people": 1}})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EVERGREEN_FEATURES", str(place / "features"))
        run(loop, *range(1, BATCHES))
        answer(loop)
        run(loop, BATCHES)
    assert [(one.version, one.baseline) for one in loop.promotions] == [(1, True), (2, False)]
    loop.stores.lake.put_report(f"drift-{day(2)}.html", f"a page of {PERSON}")
    return loop


@pytest.fixture
def loop(lived, tmp_path):
    """A copy, to go on with."""
    return lived.copied(tmp_path / "copy")


def forget(loop, values=(PERSON,), columns=("who",), why="bob: she asked"):
    return forget_rows(loop.model, loop.at, values, columns, DAY, why)


def find(loop, *texts):
    """Files of the home that hold a text, as bytes or unpacked; the landing folder is the source's."""
    found = set()
    home = Path(loop.at.landing).parent
    for path in home.rglob("*"):
        if path.is_file() and not path.is_relative_to(loop.at.landing):
            held = path.read_bytes()
            if path.suffix == ".parquet":
                held += str(pq.ParquetFile(path).read().to_pylist()).encode()
            found |= {path for text in texts if text.encode() in held}
    return {str(path.relative_to(home)).split("/batch=")[0] for path in found}


def keys_of(number):
    return (f"trip-{1000 * number + 7}", f"trip-{1000 * number + 8}")


def everywhere():
    return (PERSON, SECRET, *(key for number in range(1, BATCHES + 1) for key in keys_of(number)))


def test_no_byte_of_them_is_left(loop):
    before = find(loop, *everywhere())
    kinds = ("tables/dev/small/clean", "labels", "predictions", "quarantine_rows", "raw/dev", "ledger/dev", "reports")
    kinds += ("small/answers", "@views", "online.db")
    assert [kind for kind in kinds if not any(kind in one for one in before)] == []
    result = forget(loop)
    assert find(loop, *everywhere()) == set()
    # Two rows a day with their labels, of which the broken one has no prediction; nobody scored the first day.
    assert result.ended.rows == ROWS_GONE
    assert (result.ended.files, result.ended.reports) == (2 * BATCHES, 1)
    assert result.ended.records >= BATCHES


def test_all_else_is_left_and_read_as_before(loop):
    seen = read_predictions("small", day(2), day(BATCHES), loop.at)
    forget(loop)
    left = read_predictions("small", day(2), day(BATCHES), loop.at)
    gone = {keys_of(number)[0] for number in range(2, BATCHES + 1)}
    pd.testing.assert_frame_equal(left, seen[~seen["id"].isin(gone)].reset_index(drop=True))
    # Each row is held against its record, and the next day is checked, trained on and scored.
    run(loop, BATCHES + 1)
    assert loop.stores.ledger.get(BatchRecord, f"rows.{day(BATCHES + 1)}").state == "published"
    assert len(loop.predictions(BATCHES + 1)) == ROWS - 1


def test_the_record_has_a_hash_and_names_the_versions_that_learnt(loop):
    result = forget(loop, why=f"bob: {PERSON} asked")
    record = loop.stores.ledger.get(ForgettingRecord, "rows")
    assert record.versions == (1, 2)
    assert record.names(("who",), (PERSON,))
    assert not record.names(("who",), (OTHERS,))
    assert record.why == "bob: (forgotten) asked"
    told = "\n".join(describe_forgotten("small", result))
    assert "small: forgotten on 2026-12-01 (bob: (forgotten) asked): 1 of answers, 4 of clean, 8 of labels" in told
    assert "versions that had read them to learn: 1, 2" in told
    assert f"rows_{day(1)}.csv lies in the landing folder still" in told
    assert PERSON not in told


def test_a_row_is_named_by_its_key(loop):
    result = forget(loop, values=(keys_of(3)[0],), columns=())
    assert result.ended.rows == {"clean": 1, "labels": 1, "predictions": 1}
    assert find(loop, keys_of(3)[0]) == set()
    assert find(loop, keys_of(2)[0]) != set()
    with pytest.raises(RowsRemoved, match=rf"row of this key in batch {day(3)} was forgotten on 2026-12-01 \(bob"):
        trace_prediction(loop.model, loop.at, day(3), (keys_of(3)[0],))


def test_twice_changes_nothing_and_says_so(loop):
    forget(loop)
    stand = records(loop.model, loop.at) | tables(loop.model, loop.at)
    again = forget(loop)
    assert again.again
    assert (
        next(describe_forgotten("small", again))
        == "small: forgotten on 2026-12-01 (bob: she asked) before; nothing is left of it"
    )
    assert records(loop.model, loop.at) | tables(loop.model, loop.at) == stand


def test_another_person_of_the_same_batches_is_forgotten_too(loop):
    forget(loop)
    other = f"trip-{2000 + 3}"
    assert forget(loop, values=(other,), columns=()).record.n == 1
    assert find(loop, other, *everywhere()) == set()
    (lines,) = trace_prediction(loop.model, loop.at, day(2), (f"trip-{2000 + 5}",))["file"]
    assert "without the rows that were forgotten on 2026-12-01" in lines
    run(loop, BATCHES + 1)


def test_killed_after_any_write_it_goes_on(lived, tmp_path, monkeypatch):
    """The kill after each single write in turn; the second call comes to the same as one that was left alone."""
    writes = [(Ledger, "put"), (Ledger, "blot_out"), (Lake, "put_raw"), (Lake, "replace")]
    writes += [(Remover, "drop"), (Remover, "purge")]
    originals = {(owner, name): getattr(owner, name) for owner, name in writes}

    def attempt(place, after, written):
        loop = lived.copied(place)
        for (owner, name), original in originals.items():
            monkeypatch.setattr(owner, name, dying(original, written, after))
        try:
            forget(loop)
        except Killed:
            pass
        finally:
            for (owner, name), original in originals.items():
                monkeypatch.setattr(owner, name, original)
        return loop

    written = []
    whole = tables(lived.model, attempt(tmp_path / "whole", None, written).at)
    assert len(written) > 30
    for after in range(1, len(written), 6):
        loop = attempt(tmp_path / str(after), after, [])
        forget(loop)
        assert find(loop, *everywhere()) == set(), after
        assert tables(loop.model, loop.at) == whole, after
        ended = list(loop.stores.ledger.all(ForgottenRecord, "rows"))
        assert [one.rows for one in ended] == [ROWS_GONE]
        shutil.rmtree(tmp_path / str(after))


def test_what_named_the_rows_says_so_in_words(loop):
    forget(loop)
    with pytest.raises(
        RowsRemoved, match=r"version 2 cannot be fitted once more: .* rows or labels of it: forgotten on"
    ):
        reproduce_model(loop.model, loop.at, 2, "bob: an audit")
    stand = tables(loop.model, loop.at)
    again = score_batch(loop.model, loop.at, day(3))
    assert again.removed == "4 rows or labels of it: forgotten on 2026-12-01 (bob: she asked)"
    (rescored,) = rescore_batches(loop.model, loop.at, day(3), day(3), None, "bob: again")
    assert rescored.why.startswith("nothing has changed")
    assert tables(loop.model, loop.at) == stand
    with pytest.raises(Refused, match=r"no row of it has that key; 2 rows or labels of it: forgotten on"):
        trace_prediction(loop.model, loop.at, day(3), (keys_of(3)[0],))
    sections = trace_prediction(loop.model, loop.at, day(3), (f"trip-{3000 + 9}",))
    assert sections["validation"][-1] == "1 rows or labels of it: forgotten on 2026-12-01 (bob: she asked)"


def test_a_batch_taken_in_again_from_files_without_them_is_sound(loop):
    forget(loop)
    folder = Path(loop.at.landing) / "small"
    rows = pd.read_csv(folder / f"rows_{day(3)}.csv", dtype=str)
    rows[rows["who"] != PERSON].to_csv(folder / f"rows_{day(3)}.csv", index=False)
    result = reingest_batch(loop.model, loop.at, day(3))
    assert (result.after.clean, result.after.quarantined, result.after.state) == (ROWS - 2, 0, "published")
    assert (result.revision.added, result.revision.removed, result.revision.changed) == (0, 0, 0)
    assert find(loop, *everywhere()) == set()


def test_it_waits_for_a_batch_that_is_being_taken_in(loop):
    land(loop, BATCHES + 1)
    ingest_batch(loop.model, loop.at, day(BATCHES + 1), "rows")
    with pytest.raises(NotReady, match=rf"small: rows of batch {day(BATCHES + 1)} are being taken in; wait"):
        forget(loop)


@pytest.mark.parametrize(
    ("values", "columns", "said"),
    [
        (("nobody",), ("who",), r"no row, label or prediction has this value of who"),
        (("a",), ("name",), r"model small: column: found 'name'; valid: one of at, id, who, x"),
        (("a", "b"), (), r"key: found 2 values; valid: one for each of id"),
        (("many",), ("x",), r"key: found a value that is no float, as x is"),
        (("",), (), r"key: found an empty value of id; valid: what names the rows"),
        (("\udcfc",), (), r"key: found a value of id that is no text; valid: characters of Unicode"),
        ((OTHERS, "  "), ("who", "id"), r"key: found an empty value of id"),
    ],
)
def test_a_slip_is_refused_and_changes_nothing(lived, values, columns, said):
    stand = records(lived.model, lived.at) | tables(lived.model, lived.at)
    with pytest.raises(Refused, match=said):
        forget(lived, values=values, columns=columns)
    assert records(lived.model, lived.at) | tables(lived.model, lived.at) == stand
