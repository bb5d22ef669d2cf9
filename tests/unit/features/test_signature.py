"""A packed model in MLflow users' hands: what config.yaml accepts is accepted, and the logged example is scored."""

import json

import mlflow
import numpy as np
import pandas as pd
import pytest
import skops.io
import yaml
from mlflow.exceptions import MlflowException
from sklearn.linear_model import LinearRegression

from evergreen.config.contract import ModelConfig
from evergreen.config.expectations_config import ExpectationsConfig
from evergreen.config.model_spec import ModelSpec
from evergreen.features.signature import example_of, signature_of
from evergreen.storage import model_from_code
from evergreen.storage.packed_model import write_spec
from tests.unit.conftest import CONFIG

COLUMNS = {
    "id": "integer",
    "at": {"timestamp": "%d.%m.%Y %H:%M"},
    "distance": "float",
    "riders": "integer",
    "zone": "category",
    "shared": {"boolean": {"yes": "Y", "no": "N"}},
    "born": "date",
    "tolls": {"type": "float", "default": 0},
}
EXPECTATIONS = {
    "rows": [
        {"expect_column_values_to_be_between": {"column": "distance", "min_value": 0.5, "max_value": 60}},
        {"expect_column_median_to_be_between": {"column": "distance", "min_value": 2, "max_value": 4}},
        {"expect_column_values_to_be_between": {"column": "riders", "min_value": 2, "max_value": 5}},
        {"expect_column_values_to_be_between": {"column": "tolls", "max_value": 0}},
        {"expect_column_values_to_be_in_set": {"column": "zone", "value_set": ["7", "8"]}},
    ]
}
FEATURES = """\
def build_features(batch, history):
    assert batch["zone"].map(type).eq(str).all()
    features = batch[["distance", "riders", "tolls"]].assign(
        zone=batch["zone"].astype(int), shared=batch["shared"] * 1, hour=batch["at"].dt.hour, year=batch["born"].dt.year
    )
    return features.fillna(0).astype(float)
"""
# distance 3, riders 2, tolls 0, zone 7, shared, hour 8, year 1990: each has a weight of its own.
WEIGHTS = np.array([1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e3])
EXPECTED = float(WEIGHTS @ np.array([3, 2, 0, 7, 1, 8, 1990]))
ROW = {
    "at": "31.01.2024 08:30", "distance": 3.0, "riders": 2, "zone": "7", "shared": True, "born": "1990-05-17",
    "tolls": 0.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def contract():
    parsed = yaml.safe_load(CONFIG)
    parsed["rows"] |= {"columns": COLUMNS}
    parsed["gate"] = {"metric": "mae"}
    parsed.pop("check")
    return ModelConfig.model_validate(parsed), ExpectationsConfig.model_validate(EXPECTATIONS)


@pytest.fixture(scope="module")
def saved(contract, tmp_path_factory):
    """A model as MLflow loads it."""
    folder, path = tmp_path_factory.mktemp("packing") / "packed", tmp_path_factory.mktemp("saved") / "model"
    folder.mkdir()
    names = ["distance", "riders", "tolls", "zone", "shared", "hour", "year"]
    estimator = LinearRegression(fit_intercept=False)
    random = pd.DataFrame(np.random.default_rng(0).normal(size=(50, 7)), columns=names)
    estimator.fit(random, random.to_numpy() @ WEIGHTS)
    (folder / "features.py").write_text(FEATURES)
    (folder / "estimator.py").write_text("")
    skops.io.dump(estimator, folder / "estimator.skops")
    spec = ModelSpec.of("trips", contract[0], "all")
    write_spec(folder, spec)
    mlflow.pyfunc.save_model(
        path,
        python_model=model_from_code.__file__,
        artifacts={model_from_code.PACKED: str(folder)},
        signature=signature_of(spec.columns),
        pip_requirements=[],
    )
    return mlflow.pyfunc.load_model(str(path))


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"id": 123456789},
        {"distance": 3, "tolls": 0},
        {"distance": "3.0", "riders": "2"},
        {"riders": 2.0},
        {"zone": 7},
        {"zone": 7.0},
        {"shared": "Y"},
        {"shared": "y"},
        {"at": pd.Timestamp("2024-01-31 08:30")},
        {"at": pd.Timestamp("2024-01-31 09:30", tz="Europe/Berlin")},
        {"at": "2024-01-31T08:30:00Z"},
        {"born": pd.Timestamp("1990-05-17")},
        {"unheard_of": "x"},
    ],
    ids=str,
)
def test_what_the_config_accepts_is_accepted(given, saved):
    assert saved.predict(pd.DataFrame([ROW | given])) == pytest.approx([EXPECTED])


def test_columns_that_have_a_default_or_are_never_read_may_be_left_out(saved):
    assert saved.predict(pd.DataFrame([ROW]).drop(columns="tolls")) == pytest.approx([EXPECTED])


def test_rows_keep_their_index_and_nulls(saved):
    rows = pd.DataFrame([ROW, ROW | {"riders": None}], index=[5, 3])
    assert saved.predict(rows) == pytest.approx([EXPECTED, EXPECTED - 20])


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"riders": 2.5}, "column riders: expected integer, as config.yaml declares it: found 2.5"),
        ({"riders": "two"}, "column riders: expected integer"),
        ({"distance": "far"}, "column distance: expected float"),
        ({"shared": "maybe"}, "column shared: expected boolean, as config.yaml declares it: found maybe"),
        ({"at": "yesterday"}, "column at: expected timestamp"),
    ],
    ids=str,
)
def test_what_it_does_not_accept_is_refused_by_column(given, told, saved):
    with pytest.raises((ValueError, MlflowException), match=told):
        saved.predict(pd.DataFrame([ROW | given]))


def test_a_column_that_a_feature_reads_is_asked_for_by_name(saved):
    with pytest.raises(
        (ValueError, MlflowException), match=r"model trips, features\.py: wants column 'zone'; not given"
    ):
        saved.predict(pd.DataFrame([ROW]).drop(columns="zone"))


def test_the_example_lies_within_what_is_expected_and_is_scored(contract, saved):
    config, expectations = contract
    example = example_of(config.rows.columns, expectations)
    [row] = example.to_dict(orient="records")
    assert (row["distance"], row["riders"], row["zone"], row["shared"], row["tolls"]) == (3.0, 3, "7", "Y", -1.0)
    logged = json.loads(json.dumps(example.to_dict(orient="split"), default=str))
    [predicted] = saved.predict(pd.DataFrame(**logged))
    assert np.isfinite(predicted)
