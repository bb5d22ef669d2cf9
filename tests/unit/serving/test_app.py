"""The service answers as a batch would be scored, says who answered, and refuses in words what it cannot answer."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from evergreen.config.expectations_config import ExpectationsConfig
from evergreen.errors import FeaturesInvalid, NotReady
from evergreen.serving.app import build_app
from evergreen.serving.champions import Champion, ServedVersion
from evergreen.serving.describing import example_row
from evergreen.serving.request import RowContract
from evergreen.serving.service import Limits
from tests.serving_server import serving
from tests.unit.small_loop import SmallLoop, day, doubled, make_rows

LOOKS_BACK = """\
def build_features(batch, history):
    usual = history["y"].mean() if len(history) else 0.0
    return batch[["x"]].assign(usual=usual)
"""


def rows_of(number: int) -> list[dict[str, Any]]:
    """A day's rows as a caller has them: the label is not known yet."""
    rows = make_rows(number, doubled).drop(columns="y")
    return rows.assign(at=rows["at"].map(lambda moment: moment.isoformat())).to_dict(orient="records")


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> SmallLoop:
    """Version 1 is the baseline; version 2 learnt the line, and looks back on the day before."""
    loop = SmallLoop.under(tmp_path_factory.mktemp("lived"), LOOKS_BACK).using(features={"lookback": 1})
    loop.run(doubled, 1, 2, 3)
    return loop


@contextmanager
def serve(loop: SmallLoop, token: str | None = None, **limits: Any) -> Iterator[tuple[httpx.Client, Champion]]:
    champion = Champion(loop.model, loop.at)
    champion.follow()
    with serving(build_app({"small": champion}, Limits(**limits), token)) as client:
        yield client, champion


@pytest.fixture(scope="module")
def client(lived: SmallLoop) -> Iterator[httpx.Client]:
    with serve(lived) as (client, _):
        yield client


def ask(client: httpx.Client, rows: Any, model: str = "small", **more: Any) -> Any:
    return client.post(f"/models/{model}/predict", json={"rows": rows}, **more)


def test_a_row_online_is_predicted_as_it_will_be_in_its_batch(lived: SmallLoop, tmp_path: Path) -> None:
    # The day that is scored next: first online, then as a batch, with the same history.
    with serve(lived) as (client, champion):
        answer = ask(client, rows_of(4)).json()
        lived.run(doubled, 4)
        scored = lived.predictions(4)
        assert answer["batch"] == day(4)
        assert answer["predictions"] == scored["prediction"].tolist()
        assert {answer["version"]} == set(scored["model_version"])
        assert answer["version"] > 1
        # The next day looks back on this one.
        champion.follow()
        again = ask(client, rows_of(4)).json()
        assert again["batch"] == day(5)
        assert again["predictions"] != answer["predictions"]


def test_an_answer_says_who_made_it_and_under_which_id(client: httpx.Client, lived: SmallLoop) -> None:
    answer = ask(client, rows_of(3)[:2], headers={"X-Request-ID": "order-7"})
    told = answer.json()
    assert answer.headers["x-request-id"] == told["request_id"] == "order-7"
    promotion = lived.promotions[told["promotion"] - 1]
    assert (told["model"], told["version"]) == ("small", promotion.version)
    another = ask(client, rows_of(3)[:1], headers={"X-Request-ID": "no such\tid"}).json()["request_id"]
    assert len(another) == 32


def test_a_version_answers_beside_the_champion(client: httpx.Client) -> None:
    rows = rows_of(3)[:2]
    by_baseline = client.post("/models/small/versions/1/predict", json={"rows": rows}).json()
    assert by_baseline["version"] == 1
    assert len(set(by_baseline["predictions"])) == 1
    assert ask(client, rows).json()["predictions"] != by_baseline["predictions"]
    for asked in ("abc", "1.0", "-1", "9" * 30):
        odd = client.post(f"/models/small/versions/{asked}/predict", json={"rows": rows}, headers={"X-Request-ID": "v"})
        assert (odd.status_code, odd.json()["request_id"]) == (404, "v")
        assert odd.json()["error"] == f"model small: found version {asked!r}; valid: the number of one"
    missing = client.post("/models/small/versions/99/predict", json={"rows": rows})
    assert (missing.status_code, "version 99 was never promoted" in missing.json()["error"]) == (404, True)


GOOD = {"id": 1, "at": "2024-01-03T12:00:00", "x": 0.5}
REFUSED = {
    "no number": ({**GOOD, "x": "half"}, 0, "x", "'half'", "a finite number"),
    "beyond all numbers": ({**GOOD, "x": 1e400}, 0, "x", "1e400", "a finite number"),
    "a fraction": ({**GOOD, "id": 1.5}, 0, "id", "1.5", "a whole number from"),
    "too large a number": ({**GOOD, "id": 2**63}, 0, "id", str(2**63), "a whole number from"),
    "no time": ({**GOOD, "at": "noon"}, 0, "at", "'noon'", "a timestamp written as ISO8601"),
    "a list": ({**GOOD, "x": [1]}, 0, "x", "a list", "a float"),
    "an object": ({**GOOD, "x": {"y": 1}}, 0, "x", "an object", "a float"),
    "no key": ({**GOOD, "id": None}, 0, "id", "null", "an integer, never null"),
    "nothing": ({"id": 1, "x": 0.5}, 0, "at", "nothing", "a timestamp"),
    "a field that is not declared": ({**GOOD, "xx": 1}, 0, "xx", "1", "no such field; there are at, id, x"),
    "thousands of digits": ({**GOOD, "id": int("9" * 4000)}, 0, "id", "9" * 100, "a whole number from"),
    "a time years off": ({**GOOD, "at": "2042-01-03T12:00:00"}, 0, "at", "2042-01-03 12:00:00", "from 2023-01-0"),
    "no row": ("row", 0, None, "'row'", "an object"),
}


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_a_row_that_does_not_fit_is_refused_by_row_field_found_and_valid(client: httpx.Client, case: str) -> None:
    row, number, field, found, valid = REFUSED[case]
    body = json.dumps({"rows": [row]}).replace("Infinity", "1e400")
    answer = client.post("/models/small/predict", content=body)
    assert answer.status_code == 422, answer.text
    (mistake,) = answer.json()["mistakes"]
    assert (mistake["row"], mistake["field"], mistake["found"]) == (number, field, found)
    assert mistake["valid"].startswith(valid)


def test_of_many_rows_each_mistake_is_told(client: httpx.Client) -> None:
    answer = ask(client, [GOOD, {**GOOD, "x": "a"}, {**GOOD, "at": None, "x": "b"}])
    told = [(one["row"], one["field"]) for one in answer.json()["mistakes"]]
    assert told == [(1, "x"), (2, "at"), (2, "x")]
    assert answer.json()["error"].startswith("model small: row 1, x: found 'a'; valid: a finite number")
    assert answer.json()["error"].endswith("and 2 more")


@pytest.mark.parametrize("body", ["", "{", "[]", "null", '{"row": []}', '{"rows": []}', '{"rows": 1}', "[" * 100_000])
def test_a_body_of_another_form_is_refused(client: httpx.Client, body: str) -> None:
    answer = client.post("/models/small/predict", content=body)
    assert answer.status_code == 422
    assert answer.json()["mistakes"][0]["row"] is None


def test_a_field_that_stands_twice_is_refused(client: httpx.Client) -> None:
    answer = client.post("/models/small/predict", content=json.dumps({"rows": [GOOD]}).replace('"x"', '"x": 1, "x"'))
    assert answer.json()["mistakes"] == [
        {"row": 0, "field": "x", "found": "the field twice", "valid": "each field once"}
    ]


def test_a_row_that_a_batch_would_quarantine_is_refused(lived: SmallLoop) -> None:
    said = {"expect_column_values_to_be_between": {"column": "x", "min_value": 0, "max_value": 1}}
    model = replace(lived.model, expectations=ExpectationsConfig.model_validate({"rows": [said]}))
    with serve(replace(lived, model=model)) as (client, _):
        answer = ask(client, [GOOD, {**GOOD, "x": 1.5}])
        valid = "at least 0 and at most 1"
        assert answer.json()["mistakes"] == [{"row": 1, "field": "x", "found": "1.5", "valid": valid}]
        assert client.get("/models/small").json()["rules"] == [f"x: {valid}"]


def test_limits_are_told(lived: SmallLoop) -> None:
    with serve(lived, rows=2, body=500) as (client, _):
        many = ask(client, [GOOD] * 3)
        assert (many.status_code, many.json()["mistakes"][0]["valid"]) == (422, "1 to 2 rows a request")
        large = ask(client, [{**GOOD, "x": 0.5}] * 20)
        assert (large.status_code, "larger than 500 bytes" in large.json()["error"]) == (413, True)
        unknown = ask(client, [GOOD], model="tall")
        assert (unknown.status_code, unknown.json()["error"]) == (
            404,
            "no model 'tall' is served here; there are: small",
        )


def test_what_is_not_there_is_answered_in_one_form(client: httpx.Client) -> None:
    for method, path, status, said in (
        ("POST", "/models/tall/versions/1/predict", 404, "no model 'tall' is served here; there are: small"),
        ("GET", "/models/tall", 404, "no model 'tall' is served here; there are: small"),
        ("GET", "/models/small/predict", 405, "Method Not Allowed"),
        ("GET", "/nowhere", 404, "Not Found"),
    ):
        answer = client.request(method, path, json={"rows": []} if method == "POST" else None)
        assert (answer.status_code, answer.json()["error"]) == (status, said), path
    by_number = client.get("/openapi.json").json()["paths"]["/models/small/versions/{version}/predict"]["post"]
    assert by_number["parameters"][0]["schema"]["type"] == "integer"


def test_who_has_no_token_is_asked_for_one(lived: SmallLoop) -> None:
    with serve(lived, token="a" * 32) as (client, _):
        for path in ("/models", "/models/small", "/metrics", "/openapi.json"):
            assert client.get(path).status_code == 401, path
        assert ask(client, [GOOD]).status_code == 401
        assert ask(client, [GOOD], headers={"Authorization": "Bearer " + "b" * 32}).status_code == 401
        assert ask(client, [GOOD], headers={"Authorization": "Bearer " + "a" * 32}).status_code == 200
        assert client.get("/health").json() == {"status": "alive"}
        assert client.get("/ready").json() == {"small": lived.promotions[-1].version}


def test_before_the_first_version_nobody_answers_and_it_is_not_ready(tmp_path: Path) -> None:
    with serve(SmallLoop.under(tmp_path)) as (client, champion):
        answer = ask(client, [GOOD])
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert "no version was promoted yet" in answer.json()["error"]
        assert client.get("/ready").status_code == 503
        with pytest.raises(NotReady, match="no version answers"):
            champion.require()


def test_where_the_next_version_cannot_be_loaded_the_one_before_answers_on(tmp_path: Path) -> None:
    loop = SmallLoop.begun(tmp_path, 2)
    with serve(loop) as (client, champion):
        before = ask(client, [GOOD]).json()["version"]
        loop.run(lambda x, random: 5 * doubled(x, random), 3, 4)
        newest = loop.promotions[-1]
        assert newest.version != before
        for file in Path(loop.at.artifacts.removeprefix("file://")).rglob("estimator.skops"):  # type: ignore[union-attr]
            file.write_bytes(b"damaged")
        champion.follow()
        assert ask(client, [GOOD]).json()["version"] == before
        assert client.get("/ready").json() == {"small": before}
        assert "SHA-256" in client.get("/models").json()["small"]["trouble"]
        assert 'evergreen_serving_stale{env="dev",model="small"} 1.0' in client.get("/metrics").text


def test_more_than_can_wait_is_told_to_come_again(lived: SmallLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(lived, at_once=1, waiting=0, seconds=0.05) as (client, _):
        begun, go = threading.Event(), threading.Event()
        honest = ServedVersion.predict

        def slow(self: ServedVersion, rows: Any) -> Any:
            begun.set()
            go.wait(60)
            return honest(self, rows)

        monkeypatch.setattr(ServedVersion, "predict", slow)
        first: list[Any] = []
        thread = threading.Thread(target=lambda: first.append(ask(client, [GOOD])))
        thread.start()
        assert begun.wait(60)
        turned_away = ask(client, [GOOD])
        go.set()
        thread.join()
        assert (turned_away.status_code, turned_away.headers["retry-after"]) == (503, "1")
        assert first[0].status_code == 200


def test_what_its_own_code_raises_is_told_under_the_requests_id(
    lived: SmallLoop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with serve(lived) as (client, champion):
        current = champion.require()

        class Broken:
            __name__ = "broken"

            @staticmethod
            def build_features(batch: Any, history: Any) -> Any:
                raise KeyError("zone")

        champion.current = replace(current, packed=replace(current.packed, features=Broken))  # type: ignore[arg-type]
        answer = ask(client, [GOOD], headers={"X-Request-ID": "r1"})
        assert answer.status_code == 500
        assert "features.py, build_features" in answer.json()["error"]
        assert "r1" in caplog.text
        with pytest.raises(FeaturesInvalid):
            champion.require().predict({"id": [1], "at": [None], "x": [0.5]})


def test_what_nobody_foresaw_is_told_under_the_requests_id_and_counted(
    lived: SmallLoop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(self: ServedVersion, rows: Any) -> Any:
        raise RuntimeError("of the service itself")

    monkeypatch.setattr(ServedVersion, "predict", fails)
    with serve(lived) as (client, _):
        answer = ask(client, [GOOD], headers={"X-Request-ID": "r2"})
        assert (answer.status_code, answer.json()["request_id"]) == (500, "r2")
        assert "under request r2" in answer.json()["error"]
        assert "of the service itself" not in answer.text
        assert "of the service itself" in caplog.text
        assert 'status="500"} 1.0' in client.get("/metrics").text


def test_of_a_request_of_strange_fields_a_hundred_are_told(client: httpx.Client) -> None:
    answer = ask(client, [{**GOOD, **{f"f{n}": n for n in range(5_000)}}])
    assert (answer.status_code, len(answer.json()["mistakes"])) == (422, 100)


@pytest.mark.parametrize("way", ["predict", "explain"])
@pytest.mark.parametrize(
    ("body", "field", "found"),
    [
        ('{"rows": [{"id": 1, "at": "2024-01-04T01:00:00", "x": 1, "\\ud800": 1}]}', r"\ud800", "1"),
        ('{"rows": [{"id": 1, "at": "2024-01-04T01:00:00", "x": 1, "%s": 1}]}' % ("f" * 5_000), "f" * 100, "1"),
        ('{"\\ud800": 1}', None, r"the fields \ud800"),
        ('{"rows": [1], "rows": [{"id": 1, "at": "2024-01-04T01:00:00", "x": 1}]}', "rows", "the field twice"),
    ],
    ids=["half a character", "a long name", "half a character outside of rows", "rows twice"],
)
def test_a_field_of_an_odd_name_is_refused_under_the_requests_id(
    client: httpx.Client, body: str, field: str | None, found: str, way: str
) -> None:
    answer = client.post(f"/models/small/{way}", content=body, headers={"X-Request-ID": "odd"})
    assert answer.status_code == 422, answer.text
    assert answer.json()["request_id"] == "odd"
    assert [(one["field"], one["found"]) for one in answer.json()["mistakes"]] == [(field, found)]


def test_a_row_that_is_no_object_is_named_by_its_number_alone(client: httpx.Client) -> None:
    assert ask(client, ["row"]).json()["error"] == "model small: row 0: found 'row'; valid: an object"


def test_openapi_has_the_contract_and_an_example_that_is_answered(client: httpx.Client, lived: SmallLoop) -> None:
    document = client.get("/openapi.json").json()
    said = document["paths"]["/models/small/predict"]["post"]["requestBody"]["content"]["application/json"]
    row = said["schema"]["properties"]["rows"]["items"]
    assert sorted(row["required"]) == ["at", "id", "x"]
    assert row["properties"]["x"]["type"] == ["number", "null"]
    assert client.post("/models/small/predict", json=said["example"]).status_code == 200
    assert set(document["paths"]["/models/small/predict"]["post"]["responses"]) >= {"200", "413", "422", "503"}


def test_the_demos_example_fits_its_own_contract() -> None:
    from evergreen.config.model_folder import load_model_folder
    from tests.short_loop import TAXI

    model = load_model_folder(TAXI)
    row = example_row(model, "2024-01-05")
    read = RowContract.of(model, 10).read(json.dumps({"rows": [row]}).encode(), "2024-01-05")
    assert set(read) == set(model.config.rows.columns)


def test_requests_are_counted_by_their_answer(lived: SmallLoop) -> None:
    with serve(lived) as (client, _):
        ask(client, [GOOD, GOOD])
        ask(client, [{}])
        ask(client, [GOOD], model="tall")
        told = client.get("/metrics").text
        for line in (
            'evergreen_serving_requests_total{env="dev",model="small",status="200"} 1.0',
            'evergreen_serving_requests_total{env="dev",model="small",status="422"} 1.0',
            'evergreen_serving_requests_total{env="dev",model="",status="404"} 1.0',
            'evergreen_serving_rows_total{env="dev",model="small"} 2.0',
            'evergreen_serving_seconds_count{env="dev",model="small"} 2.0',
        ):
            assert line in told


def test_nothing_is_written_to_the_ledger(lived: SmallLoop) -> None:
    ledger = Path(lived.at.lake) / "ledger"
    before = sorted(ledger.rglob("*"))
    with serve(lived) as (client, champion):
        ask(client, [GOOD])
        champion.follow()
        assert sorted(ledger.rglob("*")) == before


def test_rows_are_explained_under_the_contract_of_predictions(client: httpx.Client, lived: SmallLoop) -> None:
    rows = rows_of(3)[:3]
    told = client.post("/models/small/explain", json={"rows": rows}).json()
    predicted = ask(client, rows).json()
    assert {**told, "request_id": ""} | predicted == {**told, **predicted}
    assert told["predictions"] == predicted["predictions"]
    assert (told["method"], told["base"], told["scale"]) == ("occlusion", None, "prediction")
    assert "SHAP of LinearRegression" in told["why"]
    # A line through x: half a unit of x further is one of y more. What looks back is the same in all rows.
    brought = [one["x"] for one in told["explanations"]]
    assert [set(one) for one in told["explanations"]] == [{"x", "usual"}] * 3
    assert np.diff(brought) == pytest.approx(np.diff(told["predictions"]))
    bad = client.post("/models/small/explain", json={"rows": [{**GOOD, "x": "half"}]})
    assert (bad.status_code, bad.json()["mistakes"][0]["field"]) == (422, "x")
    baseline = client.post("/models/small/versions/1/explain", json={"rows": rows})
    assert (baseline.status_code, "this version cannot be explained" in baseline.json()["error"]) == (501, True)
    assert client.post("/models/other/explain", json={"rows": rows}).status_code == 404
    paths = client.get("/openapi.json").json()["paths"]
    assert "501" in paths["/models/small/explain"]["post"]["responses"]
    assert "501" not in paths["/models/small/predict"]["post"]["responses"]
