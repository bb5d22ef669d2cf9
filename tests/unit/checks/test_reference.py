"""Drift: no change is no drift, a change is found, and nothing is too empty to be compared."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from evergreen.checks.judge_columns import find_drifted
from evergreen.checks.reference import Reference, build_reference, watched_columns
from evergreen.config.model_folder import load_model_folder
from evergreen.features.batch_statistics import PREDICTION
from tests.tallied import judge_columns, measure_distances

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


@pytest.mark.parametrize("batches", [6, 12, 60])
def test_batches_that_lie_apart_raise_no_alarm_and_a_larger_change_does(batches):
    """Rows of one batch go together: resampled rows know nothing of it."""
    flagged, ignorant, found = [], [], []
    for seed in range(12):
        random = np.random.default_rng([3, seed, batches])
        level = np.repeat(random.normal(0, 0.5, batches + 10), 200)
        rows = draw(random, 200 * (batches + 10))[["distance"]]
        moving = rows.assign(distance=rows["distance"] + level)
        own = refer(moving.iloc[: 200 * batches], 200)
        resampled = replace(own, spread={}, growth={})
        for i in range(batches, batches + 10):
            batch = moving.iloc[200 * i : 200 * (i + 1)]
            flagged.append(bool(drifted(own, batch)))
            ignorant.append(bool(drifted(resampled, batch)))
            found.append(bool(drifted(own, batch + 6)))
    assert np.mean(flagged) <= 0.03
    assert np.mean(ignorant) > 0.3
    assert np.mean(found) > 0.7


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
    again = Reference.parse((tmp_path / "reference.json").read_bytes())
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
    again = Reference.parse((tmp_path / "reference.json").read_bytes())
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
    without = replace(reference, spread={}, growth={})
    for name in ("distance", "zone", "fare missing"):
        limits = [without.threshold(name, rows) for rows in (10, 50, 300, 1000, 10**9)]
        assert limits == sorted(limits, reverse=True)
        assert limits[0] > 2 * limits[2]
    assert without.threshold("distance", 300) == pytest.approx(reference.thresholds["distance"])
    # A quarter of the rows makes twice the batch's own noise; that of the reference's 3,000 rows stays.
    grows = ((1 / 75 + 1 / 3000) / (1 / 300 + 1 / 3000)) ** 0.5
    assert without.threshold("distance", 75) == pytest.approx(grows * reference.thresholds["distance"])
    assert without.threshold("distance", 10**9) == 0.1
    assert reference.threshold("distance missing", 10**9) == 0.1
    assert reference.threshold("distance", 0) == reference.threshold("distance", 1)


def test_a_column_that_moves_may_move_on_as_far_as_its_reference_did():
    random = np.random.default_rng(11)
    number = np.repeat(np.arange(60), 200)
    rows = pd.DataFrame({"distance": random.normal(0, 1, 12000) + 0.05 * number})
    reference = refer(rows.iloc[:4000], 200)
    assert reference.growth["distance"] > 0.05

    def judge(batch, age):
        return judge_columns(reference, batch, age)["distance"]

    assert not any(judge(rows.iloc[200 * i : 200 * (i + 1)], i - 19)["drifted"] for i in range(20, 30))
    assert judge(rows.iloc[5800:6000], 10)["set_by"] == "age"
    assert judge(rows.iloc[5800:6000] + 6, 10)["drifted"]
    # An old champion's limits are no wider: nobody has seen the column go further than its halves lie apart.
    limits = [reference.threshold("distance", 200, age) for age in (0, 5, 10, 40, 1000)]
    assert limits[0] < limits[1] < limits[2] == limits[3] == limits[4]
    assert judge(rows.iloc[11800:], 40)["drifted"]


def months(random, batches, rows, apart):
    """A stream of which each batch has levels of its own in four columns (normal, sd ``apart``), and their batches."""
    number = np.repeat(np.arange(batches), rows)
    levels = np.repeat(random.normal(0, apart, (batches, 4)), rows, axis=0)
    drawn = random.normal(0, 1, (batches * rows, 4)) + levels
    return pd.DataFrame(drawn, columns=["distance", "fare", "tip", "speed"]), pd.Series(number)


def test_half_a_standard_deviation_is_found_within_three_months_where_months_differ():
    found, alone, false = [], [], []
    for seed in range(12):
        rows, number = months(np.random.default_rng([16, seed]), 18, 1000, 0.08)
        reference = refer(rows[number < 12], 1000, number[number < 12])
        recent = number.between(12, 14)
        changed = rows[recent].assign(distance=rows["distance"] + 0.5)
        found.append(judge_columns(reference, changed, 3, None, number[recent])["distance"]["drifted"])
        alone.append(judge_columns(reference, changed[:1000], 1)["distance"]["drifted"])
        judged = judge_columns(reference, rows[number >= 15], 6, None, number[number >= 15])
        false.append(any(one["drifted"] for one in judged.values()))
    assert all(found)
    assert sum(alone) < 12
    assert sum(false) <= 1


def test_what_is_over_warns_no_more_though_the_last_batches_together_still_do():
    rows, number = months(np.random.default_rng(21), 15, 1000, 0.05)
    reference = refer(rows[number < 12], 1000, number[number < 12])
    rows.loc[number.isin([12, 13]), "distance"] += 0.6
    after = judge_columns(reference, rows[number == 14], 3)
    together = judge_columns(reference, rows[number >= 12], 3, None, number[number >= 12])
    assert together["distance"]["drifted"]
    assert find_drifted(after, together) == {}
    before = judge_columns(reference, rows[number == 13], 2)
    assert find_drifted(before, None) == {"distance": False}
    assert find_drifted({"distance": before["distance"] | {"drifted": False}}, together) == {"distance": True}
    assert find_drifted({}, together) == {}


def test_what_neighbouring_batches_have_in_common_does_not_average_out():
    random = np.random.default_rng(17)
    number = np.repeat(np.arange(24), 500)
    season = np.sin(2 * np.pi * number / 24)
    rows = pd.DataFrame({"distance": random.normal(0, 0.5, 12000) + season, "fare": random.normal(0, 0.5, 12000)})
    rows["fare"] += np.repeat(random.normal(0, 0.5, 24), 500)
    reference = refer(rows, 500, pd.Series(number))
    assert reference.together["distance"] == pytest.approx(1.0, abs=0.1)
    one, three = (reference.threshold("distance", 500 * n, 0, n) for n in (1, 3))
    assert three == pytest.approx(one, rel=0.1)
    assert reference.threshold("fare", 1500, 0, 3) < 0.85 * reference.threshold("fare", 500)


@pytest.mark.parametrize(
    ("column", "divergence"), [("distance", "wasserstein"), ("distance", "ks"), ("zone", "jensenshannon")]
)
def test_a_limit_that_cannot_be_passed_cannot_tell(column, divergence):
    """Batches so unlike each other that the limit, as it is drawn, lies beyond what the measure can be."""
    random = np.random.default_rng(18)
    number = pd.Series(np.repeat(np.arange(12), 300))
    rows = pd.DataFrame(
        {
            "distance": random.normal(0, 0.3, 3600) + np.repeat(random.normal(0, 3, 12), 300),
            "zone": number.map("z{}".format).where(random.random(3600) < 0.9, "z"),
        }
    )[[column]]
    reference = build_reference(rows, CATEGORICAL, [column], number, 300, 1, divergences={column: divergence})
    judged = judge_columns(reference, rows[number == 11], 1)[column]
    assert (judged["drifted"], judged["cannot_tell"]) == (False, "batches too unlike each other")
    assert "cannot_tell" not in judge_columns(reference, rows[number == 11], 1)[f"{column} missing"]


def test_a_unit_of_another_kind_is_told_however_unlike_batches_are():
    """A limit is at most twice what the furthest of the reference's own batches lies apart."""
    random = np.random.default_rng(19)
    number = pd.Series(np.repeat(np.arange(12), 300))
    rows = pd.DataFrame({"distance": random.normal(20, 3, 3600) + np.repeat(random.normal(0, 9, 12), 300)})
    reference = refer(rows, 300, number)
    assert "cannot_tell" in judge_columns(reference, rows[number == 5], 1)["distance"]
    assert judge_columns(reference, rows[number == 5] + 273, 1)["distance"]["drifted"]


@pytest.mark.parametrize(("batches", "why"), [(1, "1 whole batch learnt from"), (2, "2 whole batches learnt from")])
def test_one_or_two_batches_say_little_of_how_batches_differ(batches, why):
    rows, number = months(np.random.default_rng(20), batches + 1, 300, 0.2)
    reference = refer(rows[number < batches], 300, number[number < batches])
    judged = judge_columns(reference, rows[number == batches], 1)["distance"]
    assert not judged["drifted"]
    assert judged["cannot_tell"].startswith(why)
    assert judge_columns(reference, rows[number == batches] + 4, 1)["distance"]["drifted"]


def test_of_many_rows_all_are_compared_in_cells_of_the_reference():
    random = np.random.default_rng(12)
    reference = refer(draw(random, 6000), 1000)
    large = draw(random, 200_000, 0.5)
    distances = measure_distances(reference, large)
    assert distances == measure_distances(reference, large)
    assert distances["distance"] == pytest.approx(0.5, abs=0.05)
    missing = large["fare"].isna().mean() - reference.columns["fare"]["missing"]
    assert distances["fare missing"] == pytest.approx(abs(missing))
    assert drifted(reference, large) == {"distance"}
    assert drifted(reference, draw(random, 200_000)) == set()


def test_an_infinite_number_is_a_missing_one_and_an_absent_column_is_left_out(reference):
    batch = draw(np.random.default_rng(13), 300)
    batch.loc[:99, "distance"] = [np.inf, -np.inf] * 50
    assert drifted(reference, batch) == {"distance missing"}
    assert "zone" not in measure_distances(reference, batch.drop(columns="zone"))


def test_ten_rows_of_no_change_raise_no_alarm(reference):
    random = np.random.default_rng(14)
    flagged = [bool(drifted(reference, draw(random, 10))) for _ in range(100)]
    assert sum(flagged) <= 3


@pytest.mark.parametrize(
    ("column", "divergence"),
    [
        *[("distance", name) for name in ("wasserstein", "psi", "jensenshannon", "kl", "ks")],
        *[("zone", name) for name in ("jensenshannon", "psi", "kl", "chisquare")],
    ],
)
def test_each_divergence_is_calibrated(column, divergence):
    random = np.random.default_rng(15)
    rows = draw(random, 6000)[[column]]
    batches = pd.Series(np.repeat(np.arange(12), 500))
    reference = build_reference(rows, CATEGORICAL, [column], batches, 500, 1, divergences={column: divergence})
    unchanged = [draw(random, 500) for _ in range(60)]
    assert sum(bool(drifted(reference, batch)) for batch in unchanged) <= 2
    judged = judge_columns(reference, unchanged[0], 1)[column]
    assert judged["measure"] == divergence
    changed = {"distance": unchanged[1]["distance"] + 1, "zone": unchanged[1]["zone"].replace("b", "d")}
    assert drifted(reference, pd.DataFrame(changed)[[column]]) == {column}


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
    watched = watched_columns(config.data_schema, config)
    assert watched == ["zone", "tip", "flag", "riders"]
    assert PREDICTION not in watched
