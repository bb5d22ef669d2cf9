"""Labels that match no row are a fault of their own; labels that are late, early or of lost rows are none."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evergreen.incidents import last_incident
from evergreen.replay.runner import Runner
from evergreen.steps.check_drift import check_drift
from evergreen.steps.reingest_batch import reingest_batch
from evergreen.steps.score_batch import score_batch
from tests.unit.small_loop import ROWS, SmallLoop, day

FEED = {
    "rows": {"key": ["id"], "event_time": "at", "columns": {"id": "string", "at": "timestamp", "x": "float"}},
    "labels": {
        "files": "labels_{batch:%Y-%m-%d}.csv", "complete": {"marker": "labels_{batch:%Y-%m-%d}.done"},
        "key": ["id"], "target": {"y": "float"}, "max_delay": 6,
    },
    "training": {"min_labels": 100_000},
}  # fmt: skip


def ids(number):
    return [f"0{number}a{i:03d}" for i in range(ROWS)]


def write(loop, name, frame):
    folder = Path(loop.at.landing) / loop.model.id
    folder.mkdir(parents=True, exist_ok=True)
    frame.to_csv(folder / f"{name}.csv", index=False)
    (folder / f"{name}.done").touch()


class Days:
    """A loop that nobody serves in, a day at a time."""

    def __init__(self, place, **changes):
        self.loop = SmallLoop.under(place, **(FEED | changes))
        self.told = []

    def run(self, number, labels, rows=None):
        """Take a day in and check it.

        :param labels: the keys that labels come for.
        :param rows: by default the day's own.
        """
        at = f"{day(number)} 12:00:00"
        own = pd.DataFrame({"id": ids(number), "at": at, "x": 1.0}) if rows is None else rows
        write(self.loop, f"rows_{day(number)}", own)
        write(self.loop, f"labels_{day(number)}", pd.DataFrame({"id": labels, "y": 1.0}))
        Runner(self.loop.model, self.loop.at, sinks=()).take_in(day(number))
        score_batch(self.loop.model, self.loop.at, day(number))
        return self.check(number)

    def check(self, number):
        numbers = check_drift(self.loop.model, self.loop.at, day(number)).freshness.numbers
        return numbers.get("label_keys", {}).get("state")

    @property
    def incident(self):
        return last_incident(self.loop.stores.ledger, "unmatched")


@pytest.fixture
def days(tmp_path):
    return Days(tmp_path)


SPELLINGS = {
    "capitals": lambda key: key.upper(),
    "leading zeros": lambda key: key.lstrip("0"),
    "a fraction": lambda key: f"{key}.0",
    "a sign": lambda key: f"{key[:2]}-{key[2:]}",
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_another_spelling_is_told_at_once_before_any_champion(spelling, days):
    spelt = [SPELLINGS[spelling](key) for key in ids(1)]
    assert days.run(1, spelt) == "unmatched"
    text = days.incident.opened.told
    assert f"small, batch {day(1)}: 40 of the last 40 labels match no row" in text
    assert f"40 would in another spelling, such as {spelt[0]!r} of the labels and {ids(1)[0]!r} of the rows" in text
    assert "evergreen reingest small BATCH --feed labels" in text


def test_an_accent_that_is_written_apart_is_another_spelling_and_told_by_its_characters(days):
    rows = pd.DataFrame({"id": [f"caf\u00e9-{key}" for key in ids(1)], "at": f"{day(1)} 12:00:00", "x": 1.0})
    assert days.run(1, [f"cafe\u0301-{key}" for key in ids(1)], rows) == "unmatched"
    text = days.incident.opened.told
    assert f"such as 'cafe\\u0301-{ids(1)[0]}' of the labels and 'caf\u00e9-{ids(1)[0]}' of the rows" in text


def test_a_part_in_another_spelling_is_told_too(days):
    assert days.run(1, [*ids(1)[:36], *(key.upper() for key in ids(1)[36:])]) == "unmatched"
    assert "4 would in another spelling" in days.incident.opened.told


def test_rounded_numbers_are_told_by_the_rows_that_they_stood_for(tmp_path):
    columns = {"id": "integer", "at": "timestamp", "x": "float"}
    days = Days(tmp_path, rows=FEED["rows"] | {"columns": columns})
    keys = [10**17 + 1000 * i + 3 for i in range(ROWS)]
    rows = pd.DataFrame({"id": keys, "at": f"{day(1)} 12:00:00", "x": 1.0})
    assert days.run(1, [int(float(key)) for key in keys], rows) == "unmatched"
    assert "100000000000000000 of the labels and 100000000000000003 of the rows" in days.incident.opened.told


def test_keys_that_stop_matching_open_one_incident_that_closes_once_they_match_again(days):
    for number in range(1, 5):
        assert days.run(number, ids(number)) == "ok"
    other = [f"z{key[::-1]}" for key in ids(5)]
    assert days.run(5, other) == "unmatched"
    text = days.incident.opened.told
    assert "40 of the last 40 labels match no row, where 100% matched before" in text
    labels, rows = (
        text.partition(f"; {what} such as ")[2].split(";")[0] for what in ("labels", "rows without a label")
    )
    assert {key for key in other if repr(key) in labels}
    assert {key for key in ids(5) if repr(key) in rows}
    days.check(5)
    assert days.run(6, [f"z{key[::-1]}" for key in ids(6)]) == "unmatched"
    assert (days.incident.opened.n, days.incident.sightings, days.incident.resolved) == (0, 2, None)
    assert days.run(7, []) == "unknown"
    assert days.incident.resolved is None
    write(days.loop, f"labels_{day(6)}", pd.DataFrame({"id": ids(6), "y": 1.0}))
    reingest_batch(days.loop.model, days.loop.at, day(6), "labels")
    assert days.run(8, ids(8)) == "ok"
    assert days.incident.resolved.as_of == day(8)


def test_a_feed_that_never_matched_is_told_once_all_its_rows_lie_in_the_stream(days):
    states = [days.run(number, [f"z{number}{i}" for i in range(ROWS)]) for number in range(1, 8)]
    assert states == ["unknown"] * 6 + ["unmatched"]
    assert days.incident.opened.as_of == day(7)


def labels_late(number, delay):
    """Labels of rows some days before, of whom the first are from before the start."""
    return ids(number - delay) if number > delay else [f"old{number}{i}" for i in range(ROWS)]


SOUND = {
    "late": lambda number: labels_late(number, 5),
    "later than the window": lambda number: labels_late(number, 6),
    "before their rows": lambda number: ids(number + 2),
    "of rows that this model does not take": lambda number: [*ids(number)[:10], *(f"z{number}{i}" for i in range(90))],
    "all anew each day": lambda number: [key for n in range(1, number + 1) for key in ids(n)],
    "corrections": lambda number: ids(number)[:20] + ids(max(1, number - 4))[20:],
    "few": lambda number: ids(number)[:3],
}


@pytest.mark.parametrize("kind", SOUND)
def test_sound_streams_open_nothing(kind, days):
    for number in range(1, 11):
        days.run(number, SOUND[kind](number))
    assert days.incident is None


@pytest.mark.parametrize("lost", ["rejected", "missing fields", "few"])
def test_labels_of_rows_that_were_lost_open_nothing(lost, days):
    for number in range(1, 9):
        rows = None
        if number in (5, 6):
            rows = pd.DataFrame({"id": ids(number), "at": f"{day(number)} 12:00:00", "x": 1.0})
            bad = {"rejected": 40, "missing fields": 20, "few": 0}[lost]
            rows["x"] = np.where(np.arange(ROWS) < bad, "x", "1")
            rows = rows.head(2) if lost == "few" else rows
        days.run(number, ids(number), rows)
    assert days.incident is None


def test_a_check_says_the_same_after_all_that_came_later(days):
    then = [
        days.run(number, ids(number) if number < 5 else ["z" + key for key in ids(number)])
        for number in (1, 2, 3, 4, 5)
    ]
    assert then == ["ok"] * 4 + ["unmatched"]
    days.run(6, ids(6) + ["z" + key for key in ids(5)])
    assert [days.check(number) for number in range(1, 6)] == then
    assert days.incident.opened.as_of == day(5)
