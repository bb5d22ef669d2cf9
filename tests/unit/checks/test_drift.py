"""Drift: no change is no drift, a change is found, and nothing is too empty to be compared."""

import json

import numpy as np
import pandas as pd
import pytest

from include.checks.drift import PREDICTION, Reference, build_reference, measure_distances, watched_columns
from include.config.model_folder import load_model_folder

CATEGORICAL = {"zone", "flag"}


def draw(random, rows, shift=0.0):
    return pd.DataFrame(
        {
            "distance": random.normal(3 + shift, 1, rows),
            "fare": np.where(random.random(rows) < 0.1, np.nan, random.normal(10, 2, rows)),
            "passengers": random.poisson(1.5, rows) + 1,
            "zone": random.choice(["a", "b", "c", "d"], rows, p=[0.4, 0.3, 0.2, 0.1]),
            "flag": random.choice([True, False], rows),
        }
    )


def refer(rows, batch_rows=300, batches=None, seed=7):
    batches = pd.Series(np.arange(len(rows)) // batch_rows) if batches is None else batches
    return build_reference(rows, CATEGORICAL, list(rows.columns), batches, batch_rows, seed)


def drifted(reference, batch):
    distances = measure_distances(reference, batch)
    return {name for name, value in distances.items() if value > reference.threshold(name, len(batch))}


@pytest.fixture(scope="module")
def reference():
    return refer(draw(np.random.default_rng(1), 3000))


def test_unchanged_batches_stay_under_the_threshold():
    flagged = []
    for seed in range(4):
        reference = refer(draw(np.random.default_rng(seed), 3000), seed=seed)
        random = np.random.default_rng(100 + seed)
        flagged += [bool(drifted(reference, draw(random, 300))) for _ in range(75)]
    assert np.mean(flagged) <= 0.05


@pytest.mark.parametrize("rows", [100, 1000, 3000])
def test_unchanged_batches_of_another_size_stay_under_the_threshold(reference, rows):
    random = np.random.default_rng(2)
    flagged = [bool(drifted(reference, draw(random, rows))) for _ in range(50)]
    assert sum(flagged) <= 3


def test_batches_of_its_own_calibrate_where_there_are_fifty():
    random = np.random.default_rng(3)
    level = np.repeat(random.normal(0, 0.5, 60), 100)
    rows = draw(random, 6000)[["distance"]]
    moving = rows.assign(distance=rows["distance"] + level)
    own = refer(moving, 100, pd.Series(np.repeat(np.arange(60), 100)))
    resampled = refer(moving, 100, pd.Series(np.repeat(np.arange(40), 150)))
    assert own.thresholds["distance"] > 1.5 * resampled.thresholds["distance"]


@pytest.mark.parametrize("shift", [0.5, -0.5])
def test_half_a_standard_deviation_is_found_and_nothing_else(reference, shift):
    random = np.random.default_rng(4)
    found = [drifted(reference, draw(random, 300, shift)) for _ in range(20)]
    assert all("distance" in names for names in found)
    assert sum(names != {"distance"} for names in found) <= 1


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda batch: batch.assign(zone=batch["zone"].replace("a", "new")), "zone"),
        (lambda batch: batch.assign(zone="a"), "zone"),
        (lambda batch: batch.assign(flag=True), "flag"),
        (lambda batch: batch.assign(passengers=batch["passengers"] + 1), "passengers"),
        (lambda batch: batch.assign(distance=batch["distance"].where(batch.index % 5 > 0)), "distance missing"),
        (lambda batch: batch.assign(fare=batch["fare"].fillna(10.0)), "fare missing"),
        (lambda batch: batch.assign(zone=None), "zone missing"),
    ],
    ids=["new category", "one category", "one value", "counts", "gaps", "no more gaps", "no value"],
)
def test_a_change_is_found_in_its_column_alone(reference, change, name):
    batch = draw(np.random.default_rng(5), 300)
    assert drifted(reference, batch) == set()
    assert drifted(reference, change(batch)) == {name}


@pytest.mark.parametrize("empty", ["distance", "fare", "passengers", "zone", "flag"])
def test_an_empty_column_has_distance_nought_and_all_of_it_missing(reference, empty):
    batch = draw(np.random.default_rng(6), 300).astype({empty: object}).assign(**{empty: None})
    distances = measure_distances(reference, batch)
    assert distances[empty] == 0.0
    assert distances[f"{empty} missing"] > 0.8
    assert all(np.isfinite(value) for value in distances.values())


def test_a_reference_of_nothing_can_be_built_saved_and_compared(tmp_path):
    rows = pd.DataFrame({"distance": [np.nan] * 50, "zone": [None] * 50, "fare": [1.0] * 50})
    refer(rows, 10).save(tmp_path)
    again = Reference.load(tmp_path)
    assert drifted(again, rows) == set()
    full = pd.DataFrame({"distance": [1.0] * 50, "zone": ["a"] * 50, "fare": [1.0] * 50})
    assert drifted(again, full) == {"distance missing", "zone missing"}


def test_a_column_that_never_changes_does_not_drift_until_it_does():
    rows = pd.DataFrame({"fare": [5.0] * 100, "zone": ["a"] * 100})
    reference = refer(rows, 20)
    assert drifted(reference, rows.iloc[:20]) == set()
    assert drifted(reference, rows.iloc[:20].assign(fare=6.0, zone="b")) == {"fare", "zone"}


def test_a_reference_is_the_same_after_saving(reference, tmp_path):
    reference.save(tmp_path)
    again = Reference.load(tmp_path)
    assert again == reference
    batch = draw(np.random.default_rng(8), 100, 0.3)
    assert measure_distances(again, batch) == measure_distances(reference, batch)


def test_a_reference_holds_statistics_and_no_rows(reference, tmp_path):
    reference.save(tmp_path)
    (file,) = tmp_path.iterdir()
    columns = json.loads(file.read_text())["columns"]
    assert set(columns["zone"]) == {"counts", "missing"}
    assert set(columns["distance"]) == {"quantiles", "missing"}
    assert len(columns["distance"]["quantiles"]) < 3000


def test_thresholds_grow_for_smaller_batches_and_never_fall_below_their_floor(reference):
    for name in ("distance", "zone", "fare missing"):
        limits = [reference.threshold(name, rows) for rows in (10, 50, 300, 1000, 10**9)]
        assert limits == sorted(limits, reverse=True)
        assert limits[0] > 2 * limits[2]
    assert reference.threshold("distance", 300) == pytest.approx(reference.thresholds["distance"])
    assert reference.threshold("distance", 75) == pytest.approx(2 * reference.thresholds["distance"])
    assert reference.threshold("distance", 10**9) == 0.1
    assert reference.threshold("distance missing", 10**9) == 0.05
    assert reference.threshold("distance", 0) == reference.threshold("distance", 1)


def test_the_seed_alone_decides():
    rows = draw(np.random.default_rng(9), 300)[["distance", "zone"]]
    assert refer(rows, 100, seed=1) == refer(rows, 100, seed=1)
    assert refer(rows, 100, seed=1).thresholds != refer(rows, 100, seed=2).thresholds


def test_distances_are_in_standard_deviations(reference):
    moved = measure_distances(reference, draw(np.random.default_rng(10), 5000, 1.0))
    assert moved["distance"] == pytest.approx(1.0, abs=0.1)
    assert 0 <= moved["zone"] < 0.05


def test_watched_are_numbers_and_categories_that_are_not_left_out(write_folder, edit_config):
    more = (
        "    zone: category\n    tip: float\n    flag: boolean\n    note: string\n    day: date\n    riders: integer\n"
    )
    config = load_model_folder(write_folder(config=edit_config("    zone: category\n", more))).config
    assert watched_columns(config) == ["zone", "tip", "flag", "riders"]
    assert PREDICTION not in watched_columns(config)
