"""A model carries its features: the working tree changes no past score, and its record rebuilds it."""

import random
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from deltalake import DeltaTable

from evergreen.config.locations import Locations
from evergreen.config.model_folder import load_model_folder
from evergreen.features.building import build_features, list_readable_data
from evergreen.features.labelled import standing_claim
from evergreen.features.packing import packing_folder, rebuild_model
from evergreen.records import PromotionRecord
from evergreen.replay.runner import Runner
from evergreen.steps.score_batch import score_batch
from evergreen.storage.stores import open_stores
from tests.short_loop import begun, load_version, run, short_model, tables


def test_broken_code_in_the_working_tree_changes_no_past_score(tmp_path: Path) -> None:
    model, at = begun(tmp_path, 6)
    before = tables(model, at)
    features = (
        (model.path / "features.py").read_text().replace('batch["trip_distance"]', 'batch["trip_distance"] * 999')
    )
    (model.path / "features.py").write_text(features)
    (model.path / "estimator.py").write_text("def build_estimator(seed):\n    raise RuntimeError('x 999')\n")
    edited = load_model_folder(model.path)
    assert edited.code_version != model.code_version
    table = open_stores(at, model.id).lake.table_uri("predictions")
    DeltaTable(table).delete("batch >= '2024-01-05'")
    for batch in ("2024-01-05", "2024-01-06"):
        assert score_batch(edited, at, batch).rows > 0
    assert tables(edited, at) == before


def test_two_versions_with_other_features_live_in_one_process(tmp_path: Path) -> None:
    """Version 2 is promoted with a features.py that has one more column; each version still uses its own."""
    model, at = begun(tmp_path, 6)
    text = (model.path / "features.py").read_text()
    text = text.replace('            "passengers":', '            "distance_squared": batch["trip_distance"] ** 2,\n'
                        '            "passengers":')  # fmt: skip
    (model.path / "features.py").write_text(text)
    run(load_model_folder(model.path), at, *range(7, 13))
    stores = open_stores(at, model.id)
    first, second = list(stores.ledger.all(PromotionRecord, "champion"))[:2]
    assert first.code != second.code
    claim = standing_claim(stores, "2024-01-06")
    old, new = (stores.models.load_promoted(one) for one in (first, second))
    old_features = build_features(model.config.data_schema, stores, old, claim).features
    new_features = build_features(model.config.data_schema, stores, new, claim).features
    assert "distance_squared" not in old_features
    assert "distance_squared" in new_features
    assert not np.array_equal(old.predict_features(old_features), new.predict_features(new_features))


def test_after_250_commits_and_a_vacuum_version_1_is_rebuilt_from_its_record(tmp_path: Path) -> None:
    model, at = begun(tmp_path, 6)
    stores = open_stores(at, model.id)
    promotion = stores.ledger.get(PromotionRecord, "champion", 0)
    assert promotion is not None
    claim = standing_claim(stores, "2024-01-06")
    packed = stores.models.load_promoted(promotion)
    features = build_features(model.config.data_schema, stores, packed, claim).features
    served = packed.predict_features(features)

    garbage = stores.lake.read_any("clean", "2024-01-01", 0).slice(0, 1)
    for n in range(250):
        stores.lake.replace("clean", f"2099-{n % 40:03d}", 0, garbage, {})
    for name in ("clean", "labels"):
        DeltaTable(stores.lake.table_uri(name)).vacuum(
            retention_hours=0, dry_run=False, enforce_retention_duration=False
        )
    open_stores.cache_clear()

    # The working tree has moved on as well.
    (model.path / "features.py").write_text("def build_features(batch, history):\n    raise RuntimeError\n")
    with packing_folder() as folder:
        rebuilt = rebuild_model(load_model_folder(model.path), open_stores(at, model.id), promotion, folder).packed
        assert np.array_equal(rebuilt.predict_features(features), served)


@pytest.fixture(scope="module")
def lookback(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the lookback loop ran: its features are means of the target over the days before."""
    return tmp_path_factory.mktemp("lookback")


LOOKBACK_FEATURES = """
import pandas as pd


def build_features(batch: pd.DataFrame, history: pd.DataFrame) -> pd.DataFrame:
    known = history.dropna(subset=["trip_minutes"])
    last = known[known["batch"] == known["batch"].max()]["trip_minutes"].mean() if len(known) else float("nan")
    by_zone = known.groupby("PULocationID")["trip_minutes"].mean()
    return pd.DataFrame(
        {
            "distance": batch["trip_distance"],
            "yesterday": last,
            "rolling": known["trip_minutes"].mean(),
            "zone_mean": batch["PULocationID"].map(by_zone).astype(float),
            "known": float(len(known)),
        },
        index=batch.index,
    )
"""


def test_a_lookback_has_the_same_features_in_training_and_in_scoring(lookback: Path) -> None:
    """What training builds for a batch, after later labels have come, is what scoring built before they had."""
    model, at = short_model(lookback, features={"lookback": 2, "rowwise": False}), Locations.under(lookback)
    (model.path / "features.py").write_text(LOOKBACK_FEATURES)
    model = load_model_folder(model.path)
    stores = open_stores(at, model.id)
    at_scoring: dict[str, pd.DataFrame] = {}
    for number in range(1, 9):
        run(model, at, number)
        batch = model.config.calendar.name(number - 1)
        claim = standing_claim(stores, batch)
        if claim.version is not None:
            packed = load_version(stores, claim.version)
            at_scoring[batch] = build_features(model.config.data_schema, stores, packed, claim).features.copy()
    assert len(at_scoring) >= 3
    from evergreen.features import building

    building._BUILT.clear()
    open_stores.cache_clear()
    again = open_stores(at, model.id)
    for batch, features in random.Random(1).sample(sorted(at_scoring.items()), len(at_scoring)):
        claim = standing_claim(again, batch)
        assert claim.version is not None
        packed = load_version(again, claim.version)
        later = build_features(model.config.data_schema, again, packed, claim).features
        pd.testing.assert_frame_equal(later, features, check_exact=True)
        # Labels of this very batch, most of which are known by now, were not known when it was scored.
        assert claim.label_cut is not None
        assert claim.label_cut < batch
        assert features["known"].max() < 450


def test_a_version_keeps_the_lookback_that_it_was_made_with(lookback: Path) -> None:
    model, at = load_model_folder(lookback / "models" / "taxi"), Locations.under(lookback)
    for number, today in ((9, 4), (10, 1)):
        features = model.config.features.model_copy(update={"lookback": today})
        run(model.replace(model.config.model_copy(update={"features": features})), at, number)
        stores, batch = open_stores(at, model.id), model.config.calendar.name(number - 1)
        claim = standing_claim(stores, batch)
        assert claim.version is not None
        packed = load_version(stores, claim.version)
        own, _ = list_readable_data(model.config.data_schema, stores, batch, packed.spec.lookback)
        stores.ledger.put(own)
        alone = build_features(
            model.config.data_schema, stores, packed, claim.model_copy(update={"data": own.id})
        ).features
        served = build_features(model.config.data_schema, stores, packed, claim).features
        pd.testing.assert_frame_equal(served, alone, check_exact=True)
        assert served["known"].max() > 100


def test_poison_does_not_reach_a_lookback(lookback: Path, tmp_path: Path) -> None:
    model = load_model_folder(lookback / "models" / "taxi")
    at = Locations.under(lookback)
    poisoned = Locations.under(tmp_path)
    run(model, poisoned, *range(1, 7))
    folder = Path(poisoned.landing) / model.id
    for number in (7, 8):
        from tests.short_loop import land

        land(model, poisoned, number)
        labels = folder / f"labels_{model.config.calendar.name(number - 1)}.csv"
        pd.read_csv(labels).assign(trip_minutes=200.0).to_csv(labels, index=False)
        Runner(model, poisoned, sinks=()).run_batch(model.config.calendar.name(number - 1))
    last = model.config.calendar.name(6)
    own = {k: v for k, v in tables(model, at, last).items() if not k.endswith(last) or k.startswith("predictions")}
    other = {k: v for k, v in tables(model, poisoned, last).items() if k in own}
    assert own == other
