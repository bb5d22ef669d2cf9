"""What a version goes by is measured once, on rows that its model has not seen, and packed with it."""

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest

from evergreen.errors import FeaturesInvalid
from evergreen.features.explanation import Explanation, read_explanation, typical_values, with_values
from evergreen.records import PromotionRecord
from evergreen.steps import register_model
from evergreen.storage.model_store import ModelStore
from tests.unit.small_loop import SmallLoop, doubled, make_rows

KINDS = """\
import pandas as pd


def build_features(batch, history):
    kind = (batch["id"] % 1000 % 3).map({0: "a", 1: "b", 2: "c"}).astype("category")
    return pd.DataFrame({"odd": batch["id"] % 2, "kind": kind, "x": batch["x"], "high": batch["x"] > 0.5})
"""
BOOSTING = """\
from sklearn.ensemble import HistGradientBoostingRegressor


def build_estimator(seed):
    return HistGradientBoostingRegressor(
        max_iter=20, min_samples_leaf=5, categorical_features="from_dtype", random_state=seed
    )
"""


def by_kind(x: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The line, and what every third row adds."""
    return doubled(x, random) + 3 * (np.arange(len(x)) % 3)


def explanation_of(loop: SmallLoop, promotion: PromotionRecord) -> Explanation:
    told = read_explanation(loop.stores.models.load_promoted(promotion).files)
    assert told is not None
    return told


def card_of(loop: SmallLoop, promotion: PromotionRecord) -> str:
    run = loop.stores.models.find_run(promotion.attempt, "champion")
    path = mlflow.MlflowClient(loop.at.tracking_uri).download_artifacts(run, "model_card.md")
    return " ".join(Path(path).read_text().split())


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> SmallLoop:
    loop = SmallLoop.under(tmp_path_factory.mktemp("lived"), KINDS, BOOSTING, retrain={"any": ["never"]})
    loop.run(by_kind, 1, 2)
    return loop


def test_importance_is_what_the_metric_loses_and_dependence_what_is_predicted(loop: SmallLoop) -> None:
    assert [one.baseline for one in loop.promotions] == [True, False]
    told = explanation_of(loop, loop.promotions[-1])
    assert (told.metric, told.rows, told.trouble) == ("mae", 40, "")
    assert next(iter(told.features)) == "kind"
    assert set(told.features) == {"odd", "kind", "x", "high"}
    kind = told.features["kind"]
    assert kind.values == ("a", "b", "c")
    learnt = pd.concat([make_rows(number, by_kind) for number in (1, 2)])
    means = learnt.groupby(learnt["id"] % 1000 % 3)["y"].mean().to_numpy()
    assert kind.dependence == pytest.approx(means, abs=0.5)
    assert told.features["odd"].importance < 0.2 < told.features["x"].importance
    assert told.features["high"].values == (False, True)
    # A baseline goes by nothing.
    assert read_explanation(loop.stores.models.load_promoted(loop.promotions[0]).files) is None


def test_the_card_tells_it(loop: SmallLoop) -> None:
    told, card = explanation_of(loop, loop.promotions[-1]), card_of(loop, loop.promotions[-1])
    section = card[card.index("What it goes by") : card.index("Parameters")]
    assert f"growth of mae, {told.value:.4g} on 40 rows" in section
    kind = told.features["kind"]
    assert f"| kind | {kind.importance:.4g} | {kind.spread:.4g} |" in section
    assert ", ".join(f"{one}: {mean:.4g}" for one, mean in zip("abc", kind.dependence, strict=True)) in section
    assert "What it goes by" not in card_of(loop, loop.promotions[0])


def test_a_killed_registration_measures_the_same_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = {}
    for name in ("killed", "alone"):
        loop = SmallLoop.under(tmp_path / name, KINDS, BOOSTING, retrain={"any": ["never"]})
        loop.run(by_kind, 1)
        if name == "killed":
            with monkeypatch.context() as patch:
                log = ModelStore.log_model

                def die(store: ModelStore, attempt: str, role: str, *about: Any, log: Any = log) -> Any:
                    if role == "champion":
                        raise KeyboardInterrupt
                    return log(store, attempt, role, *about)

                # After the files are on record, and before MLflow has them.
                patch.setattr(ModelStore, "log_model", die)
                with pytest.raises(KeyboardInterrupt):
                    loop.run(by_kind, 2)
        loop.run(by_kind, 2)
        hashes[name] = loop.promotions[-1].hashes["explanation.json"]
    assert hashes["killed"] == hashes["alone"]


def test_what_cannot_be_told_keeps_no_version_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise FeaturesInvalid("its estimator raised <b>")

    monkeypatch.setattr(register_model, "measure_explanation", fail)
    loop = SmallLoop.under(tmp_path, KINDS, BOOSTING)
    loop.run(by_kind, 1, 2)
    assert explanation_of(loop, loop.promotions[-1]).trouble == "its estimator raised <b>"
    assert r"It cannot be told: its estimator raised \<b\>" in card_of(loop, loop.promotions[-1])


@pytest.mark.parametrize(
    ("column", "values", "shares"),
    [
        (pd.Series([0, 0, 0, 1]), (0, 1), (0.8, 0.2)),
        (pd.Series([1.5, None, np.inf]), (1.5,), (1.0,)),
        (pd.Series([None, None], dtype=float), (), ()),
        (pd.Series(["b", "b", "a", None]), ("a", "b"), (1 / 3, 2 / 3)),
        (pd.Series([True, False, True]), (False, True), (1 / 3, 2 / 3)),
        (pd.Series([f"{i:02d}" for i in range(20)] + ["15"]), None, (*[1 / 11] * 9, 2 / 11)),
        (pd.Series([pd.Timestamp("2024-01-01")]), ("2024-01-01 00:00:00",), (1.0,)),
    ],
)
def test_typical_values_are_values_that_occur(column: pd.Series, values: tuple[Any, ...] | None, shares: Any) -> None:
    found = typical_values(column)
    assert found[1] == pytest.approx(shares)
    assert values is None or found[0] == values


def test_a_value_that_a_frame_has_not_is_no_missing_one() -> None:
    rows = pd.DataFrame({"kind": pd.Categorical(["a"]), "at": [pd.Timestamp("2024-01-02")], "n": [1]})
    assert with_values(rows, "kind", ("a", "b"))["kind"].tolist() == ["a", "b"]
    assert with_values(rows, "at", ("2024-01-01 00:00:00",))["at"].tolist() == [pd.Timestamp("2024-01-01")]
    assert with_values(rows, "n", (0, 2.5))["n"].tolist() == [0, 2.5]
