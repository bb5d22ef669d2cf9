"""A week of the demo's days, asked for online before each came as a batch, by `evergreen serve` as it follows the loop.

The baseline is replaced while callers ask, a challenger is tried and taken back, answers are taken in and equal what
the nights' batches were scored as.
"""

import json
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest
import yaml

from evergreen.config.locations import Locations
from evergreen.config.model_folder import load_model_folder
from evergreen.demo.stream import DemoStream
from evergreen.features.answers import read_answers
from evergreen.records import AnswersRecord, ArmsRecord
from evergreen.replay.runner import Runner
from evergreen.steps.ingest_answers import ingest_answers
from evergreen.steps.judge_arms import begin_arms
from tests.live.test_serving import served
from tests.short_loop import TAXI, lay_registry
from tests.unit.small_loop import SmallLoop

DAYS, ROWS, WAIT = 7, 150, 120
STREAM = DemoStream()
SERVING = {"arms": {"champion": 60, "challenger": 40}}


@pytest.fixture
def loop(tmp_path: Path) -> SmallLoop:
    shutil.copytree(TAXI, tmp_path / "models" / "taxi")
    config = tmp_path / "models" / "taxi" / "config.yaml"
    said = yaml.safe_load(config.read_text())
    slices = {"payment_type": {"may_worsen": "10%", "min_rows": 10}}
    said |= {"serving": SERVING, "gate": said["gate"] | {"min_rows": 40, "slices": slices}}
    config.write_text(yaml.safe_dump(said))
    at = Locations.under(tmp_path)
    lay_registry(at)
    return SmallLoop(load_model_folder(config.parent), at)


def rows_of(number: int) -> list[dict[str, Any]]:
    """Sound rows of a day, as callers have them before its batch has come."""
    frame = STREAM.make_rows(number).dropna().drop_duplicates("trip_id")
    moments = pd.to_datetime(frame["lpep_pickup_datetime"], errors="coerce")
    numbers = frame[["trip_distance", "passenger_count"]].apply(pd.to_numeric, errors="coerce")
    sound = moments.notna() & numbers["trip_distance"].between(0.1, 60) & numbers["passenger_count"].between(0, 9)
    columns = ["trip_id", "lpep_pickup_datetime", "PULocationID", "DOLocationID", "payment_type"]
    chosen = frame.loc[sound, columns].assign(**{n: numbers.loc[sound, n] for n in numbers})
    return json.loads(chosen.head(ROWS).astype({"passenger_count": int}).to_json(orient="records"))


class Caller:
    """Asks a day's rows, ten a request, again and again; stops where it is told to."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        self.told: list[tuple[int, dict[str, Any]]] = []

    def ask(self, rows: list[dict[str, Any]]) -> None:
        for first in range(0, len(rows), 10):
            answer = self._client.post("/models/taxi/predict", json={"rows": rows[first : first + 10]})
            self.told.append((answer.status_code, answer.json()))

    def ask_until(self, rows: list[dict[str, Any]], ended: threading.Event) -> None:
        while not ended.wait(0.05) and len(self.told) < 20_000:
            self.ask(rows[:50])


def test_a_week_is_answered_online_as_its_batches_are_scored(loop: SmallLoop) -> None:
    landing, names = Path(loop.at.landing) / "taxi", [STREAM.day(number) for number in range(1, DAYS + 2)]
    runner = Runner(loop.model, loop.at, sinks=())
    STREAM.land(landing, 1)
    runner.run_batch(names[0])
    assert [one.baseline for one in loop.promotions] == [True]
    with served(loop, "--flush", "0.2") as client:
        caller, at_night = Caller(client), Caller(client)
        for number in range(2, DAYS + 1):
            rows = rows_of(number)
            _await(lambda batch=names[number - 1]: client.get("/models").json()["taxi"].get("batch") == batch)
            caller.ask(rows)
            time.sleep(0.6)
            # The night: its files, its scores, its promotions, while callers ask.
            ended = threading.Event()
            asking = threading.Thread(target=at_night.ask_until, args=(rows, ended))
            asking.start()
            try:
                STREAM.land(landing, number)
                runner.run_batch(names[number - 1])
                if number == 3:
                    begin_arms(loop.model, loop.at, 1, "ada: was the baseline as good?")
            finally:
                ended.set()
                asking.join()
        newest = loop.promotions[-1].version
        _await(lambda: client.get("/ready").json() == {"taxi": newest})
        assert "challenger" not in client.get("/models").json()["taxi"]
        assert "evergreen_serving_answers_lost" in client.get("/metrics").text
    told = caller.told + at_night.told
    assert {status for status, _ in told} == {200}
    assert all(answer["version"] and answer["promotion"] for _, answer in told)
    for one in (caller, at_night):
        versions = [answer["version"] for _, answer in one.told]
        assert versions == sorted(versions), "a version that was replaced has answered again"
    assert len({answer["version"] for _, answer in told}) > 2
    _require_arms(loop)
    # Nothing that was answered is lost: what the service wrote as it ended is taken in by the next night.
    ingest_answers(loop.model, loop.at, names[DAYS])
    taken = list(loop.stores.ledger.all(AnswersRecord, "batches"))
    assert sum(record.rows for record in taken) == sum(len(answer["predictions"]) for _, answer in told)
    assert not any(record.torn for record in taken)
    _require_equal(loop, names)


def _require_arms(loop: SmallLoop) -> None:
    """The baseline was tried, and taken back by what it answered."""
    records = list(loop.stores.ledger.all(ArmsRecord, "online"))
    assert [record.state for record in records][-1] == "taken back", records[-1].why
    assert records[-1].why.startswith("it is worse: improvement -")
    assert [arm.rows >= 40 for arm in records[-1].arms] == [True, True]
    # The slice that config.yaml declares was judged, too.
    assert any(limit.what.startswith("slice payment_type=") for limit in records[-1].limits)


def _require_equal(loop: SmallLoop, names: list[str]) -> None:
    """What a batch's own champion answered before the batch came is, bit by bit, what the batch was scored as."""
    answers, compared = read_answers(loop.stores, names[DAYS]), 0
    for batch in names[1:DAYS]:
        scored = loop.stores.lake.read_any("predictions", batch, 0).to_pandas()
        mine = scored.assign(
            key=[json.dumps([key]) for key in scored["trip_id"]], version=scored["model_version"].astype(str)
        )
        asked = answers[answers["online_batch"] == batch]
        both = asked.merge(mine, on=["key", "version"], suffixes=("", "_scored"))
        assert both["prediction"].tolist() == both["prediction_scored"].tolist()
        compared += both["key"].nunique()
    assert compared > ROWS


def _await(holds: Any) -> None:
    end = time.monotonic() + WAIT
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)
