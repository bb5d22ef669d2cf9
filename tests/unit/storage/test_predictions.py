"""Another program reads what was predicted: the rows that stand, or an error that says what is missing."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

import evergreen
from evergreen import read_predictions
from evergreen.config.locations import Locations
from evergreen.errors import ModelNotFound, NotReady, Refused
from evergreen.records import ClaimRecord
from evergreen.storage.stores import open_stores
from tests.s3 import s3, speaking_to
from tests.unit.small_loop import ROWS, SmallLoop, day

COLUMNS = ["batch", "id", "prediction", "model_version", "data_version"]


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> SmallLoop:
    """Nobody scores the first day; the next three have a champion."""
    return SmallLoop.begun(tmp_path_factory.mktemp("lived"), 4)


def test_a_batch_comes_by_key_with_its_origin(lived: SmallLoop) -> None:
    predicted = read_predictions("small", day(3), at=lived.at)
    assert list(predicted.columns) == COLUMNS
    assert list(predicted["id"]) == [3000 + i for i in range(ROWS)]
    assert set(predicted["batch"]) == {day(3)}
    claim = lived.stores.ledger.last(ClaimRecord, day(3))
    assert claim is not None
    assert set(predicted["model_version"]) == {claim.version}
    assert set(predicted["data_version"]) == {claim.data}
    written = lived.predictions(3)
    pd.testing.assert_series_equal(predicted["prediction"], written["prediction"])


def test_a_span_has_both_ends_and_passes_over_what_nobody_scored(lived: SmallLoop) -> None:
    span = read_predictions("small", "2023-12-01", day(3), at=lived.at)
    assert list(span["batch"].unique()) == [day(2), day(3)]
    assert len(span) == 2 * ROWS
    assert read_predictions("small", day(8), day(9), at=lived.at).empty


def test_a_batch_that_nobody_scored_has_no_row(lived: SmallLoop) -> None:
    assert list(read_predictions("small", day(1), at=lived.at).columns) == COLUMNS
    assert read_predictions("small", day(1), at=lived.at).empty


def test_a_batch_that_is_still_to_be_scored_is_not_ready(lived: SmallLoop) -> None:
    with pytest.raises(NotReady, match=f"model small: batch {day(5)} has not been scored"):
        read_predictions("small", day(5), at=lived.at)


def test_only_the_newest_claim_counts(tmp_path: Path) -> None:
    loop = SmallLoop.begun(tmp_path, 3)
    claim = loop.stores.ledger.last(ClaimRecord, day(3))
    assert claim is not None
    again = claim.model_copy(update={"revision": 1, "meta": {}})
    loop.stores.ledger.put(again)
    with pytest.raises(NotReady, match="claimed but not scored yet"):
        read_predictions("small", day(3), at=loop.at)
    loop.stores.ledger.put(again.model_copy(update={"revision": 2, "version": None, "why": "version 1 failed"}))
    assert read_predictions("small", day(3), at=loop.at).empty
    assert list(read_predictions("small", day(1), day(3), at=loop.at)["batch"].unique()) == [day(2)]


def test_a_model_that_is_not_there_is_named_beside_those_that_are(lived: SmallLoop) -> None:
    with pytest.raises(ModelNotFound, match=r"no model 'smal' in .* under EVERGREEN_ENV=dev; there are: small"):
        read_predictions("smal", day(2), at=lived.at)
    with pytest.raises(Refused, match=r"there is no lake at .* for EVERGREEN_ENV 'prod'"):
        read_predictions("small", day(2), at=replace(lived.at, env="prod"))


def test_a_lake_that_is_not_there_is_not_made(tmp_path: Path, lived: SmallLoop) -> None:
    for lake in (str(tmp_path / "typo"), (tmp_path / "typo").as_uri()):
        with pytest.raises(Refused, match=r"there is no lake at .*typo .* set EVERGREEN_HOME or EVERGREEN_LAKE"):
            read_predictions("small", day(2), at=replace(lived.at, lake=lake))
    assert list(tmp_path.iterdir()) == []


def test_a_lake_on_s3_is_read_and_asked_for_its_models() -> None:
    at = Locations("dev", "s3://evergreen/lake", "s3://evergreen/landing", "http://127.0.0.1:1")
    claim = ClaimRecord(as_of=day(1), revision=0, version=1, promotion=1, why="", data="d", label_cut=None)
    rows = pa.table({"id": [2, 1], "prediction": [0.5, 0.25], "model_version": [1, 1], "data_version": ["d", "d"]})
    with s3() as environment, speaking_to(environment):
        with pytest.raises(Refused, match="there is no lake at s3://evergreen/lake"):
            read_predictions("small", day(1), at=at)
        stores = open_stores(at, "small")
        stores.ledger.put(claim)
        stores.lake.replace("predictions", day(1), 0, rows, {})
        assert list(read_predictions("small", day(1), at=at)["prediction"]) == [0.25, 0.5]
        assert len(read_predictions("small", day(1), day(31), at=at)) == 2
        with pytest.raises(ModelNotFound, match="there are: small"):
            read_predictions("large", day(1), at=at)


def test_the_environment_says_where(lived: SmallLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVERGREEN_HOME", str(Path(lived.at.lake).parent))
    assert len(read_predictions("small", day(2))) == ROWS


def test_importing_the_package_imports_no_reader() -> None:
    program = "import evergreen, sys; print(sorted({'pandas', 'pyarrow', 'deltalake'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    with pytest.raises(AttributeError, match="has no attribute 'read_prediction'"):
        evergreen.read_prediction  # noqa: B018
