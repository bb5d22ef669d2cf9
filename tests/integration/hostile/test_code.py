"""Bad code in a model folder: nothing of it is promoted, no batch is lost to it, and the message names file and batch."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from evergreen.config.locations import Locations
from evergreen.config.model_folder import load_model_folder
from evergreen.errors import ConfigInvalid
from evergreen.records import AttemptRecord, BatchRecord, ClaimRecord, PromotionRecord
from evergreen.replay.runner import Runner
from evergreen.storage.stores import Stores, open_stores
from tests.integration.hostile.small import (
    CONFIG,
    ESTIMATOR,
    FEATURES,
    HEADER,
    batch_of,
    csv,
    labels_of,
    land,
    rows_of,
    write_model,
)
from tests.short_loop import fingerprint, records, tables

# The baseline serves from the second batch; the third makes the first attempt with a model's own code.
ROWS, BATCHES, FIRST_TRIED = 12, 4, 3
CLASSES: dict[str, Any] = {
    "model": {"task": "classification", "seed": 1},
    "gate": CONFIG["gate"] | {"metric": "logloss"},
    "labels": CONFIG["labels"] | {"target": {"late": "integer"}},
}
ROWS_ONLY = "rows:\n  - expect_column_values_to_be_between: {column: distance, min_value: 0}\n"


@dataclass(frozen=True)
class Code:
    """A model's own code, and what the refused attempt must say; no words where it does no harm."""

    name: str
    told: tuple[str, ...] = ()
    features: str = FEATURES
    estimator: str = ESTIMATOR
    config: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


def features(name: str, body: str, *told: str, before: str = "") -> Code:
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    return Code(
        name,
        told,
        features=f"import numpy as np\nimport pandas as pd\n{before}\n\ndef build_features(batch, history):\n{lines}\n",
    )


def estimator(name: str, text: str, *told: str, **config: Any) -> Code:
    return Code(name, told, estimator=text, config=config)


def built(expression: str, module: str) -> str:
    return f"import {module}\n\n\ndef build_estimator(seed):\n    return {expression}\n"


ON_2 = "features.py, build_features on batch 2024-01-02: "
ON_1 = "features.py, build_features on batch 2024-01-01: "
SECOND = "(batch['at'].dt.day == 2).any()"
OWN_CLASS = """\
from sklearn.linear_model import LinearRegression


class Mine(LinearRegression):
    pass


def build_estimator(seed):
    return Mine()
"""
# The logarithm of less than nothing.
LOGARITHM = """\
import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.dummy import DummyRegressor


def build_estimator(seed):
    less = DummyRegressor(strategy="constant", constant=-5.0)
    return TransformedTargetRegressor(less, func=np.exp, inverse_func=np.log, check_inverse=False)
"""
# ruff: noqa: E501 - one row of the table a line, so that it can be read
HARMFUL = [
    features("raises on import", "return batch[['distance']]", "features.py, on import: raised ZeroDivisionError", before="1 / 0"),
    features("ends the process on import", "return batch[['distance']]", "features.py, on import: raised SystemExit", before="raise SystemExit(0)"),
    features("raises", "raise KeyError('fare')", ON_1 + "raised KeyError: 'fare'"),
    features("raises at one batch", f"if {SECOND}:\n    raise ValueError('the second')\nreturn batch[['distance']]", ON_2 + "raised ValueError: the second"),
    features("ends the process", "import sys\nsys.exit(0)", ON_1 + "raised SystemExit"),
    features("no frame", "return batch['distance'].tolist()", ON_1 + "returned list; expected a DataFrame"),
    features("nothing", "batch['distance']", ON_1 + "returned NoneType; expected a DataFrame"),
    features("fewer rows", "return batch[['distance']].iloc[1:]", ON_1 + "returned 11 rows for 12, or another index"),
    features("another index", "return batch.set_index('id')[['distance']]", ON_1 + "returned 12 rows for 12, or another index"),
    features("another order", "return batch[['distance']].iloc[::-1]", "or another index; expected one row of features for each row of the batch, in its order"),
    features("other columns at one batch", "return batch[['distance']].rename(columns={'distance': 'far'} if (batch['at'].dt.day == 2).any() else {})", ON_2 + "returned columns ['far'], and ['distance'] for batches before"),
    features("a column twice", "return pd.concat([batch[['distance']], batch[['distance']]], axis=1)", ON_1 + "returned columns ['distance', 'distance']; expected each name once"),
    features("texts for numbers", "return batch[['zone']]", "estimator.py, on ", "raised ValueError: could not convert string to float"),
    features("nothing but NaN", "return batch[['distance']] * np.nan", "estimator.py, on ", "Input X contains NaN"),
    features("a column that is not declared", "return batch[['fare']]", ON_1 + "raised KeyError", "fare"),
    estimator("no estimator", built("None", "sklearn"), "estimator.py, on ", "raised AttributeError"),
    estimator("an estimator that raises on import", "import nowhere_to_be_found\n\n\ndef build_estimator(seed):\n    return 1\n", "estimator.py, on import: raised ModuleNotFoundError"),
    estimator("an estimator that ends the process", "def build_estimator(seed):\n    raise SystemExit(1)\n", "estimator.py, on ", "raised SystemExit"),
    estimator("a class of its own", OWN_CLASS, "estimator.py: composes ", "Mine, which skops does not load unasked", "model.trusted_types"),
    estimator("predicts NaN", LOGARITHM, "predictions are not numbers; expected finite ones"),
    estimator("no predict_proba", built("sklearn.svm.LinearSVC()", "sklearn.svm"), "raised AttributeError", "predict_proba", **CLASSES),
    estimator("a transformer for an estimator", built("sklearn.preprocessing.FunctionTransformer()", "sklearn.preprocessing"), "raised AttributeError", "predict"),
    features("out of memory", "raise MemoryError('a table too large')", ON_1 + "raised MemoryError: a table too large"),
    features("ends a generator", "raise GeneratorExit", ON_1 + "raised GeneratorExit"),
    features("interrupts", "raise KeyboardInterrupt", ON_1 + "raised KeyboardInterrupt"),
    features("an exception that no handler expects", "class Mine(BaseException):\n    pass\nraise Mine('of my own')", ON_1 + "raised Mine: of my own"),
    Code("learns one class alone", ("to learn from, 0 of 12 labels are 1; 5 are needed to tell of them",), estimator=built("sklearn.dummy.DummyClassifier(strategy='constant', constant=0)", "sklearn.dummy"), config=CLASSES | {"title": "one class"}),
]  # fmt: skip
QUICK: dict[str, Any] = {"model": CONFIG["model"] | {"time_limit": "1s"}}
# What would end the process that runs the loop, or hold it up for ever.
UNSAFE = [
    features("ends the process unasked", "import os\nos._exit(0)", "build_features on batch 2024-01-01: ended its process, with exit status 0"),
    features("ends the process unasked on import", "return batch", "features.py, on import: ended its process, with exit status 3", before="import os\nos._exit(3)"),
    features("breaks the process", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", ON_1 + "ended its process, by SIGKILL"),
    features("never comes back", "while True:\n    pass", ON_1 + "ran for longer than 1 second;"),
    features("never comes back to Python", "import itertools\nsum(itertools.repeat(0))", ON_1 + "ended its process, for it ran for longer than model.time_limit"),
    features("waits for ever", "import threading\nthreading.Event().wait()", ON_1 + "ran for longer than 1 second;"),
    features("never comes back at one batch", "while (batch['at'].dt.day == 2).any():\n    pass\nreturn batch[['distance']]", ON_2 + "ran for longer than 1 second;"),
    estimator("an estimator that ends the process unasked", "import os\n\n\ndef build_estimator(seed):\n    os._exit(1)\n", "estimator.py, on 12 rows of ['distance']: ended its process, with exit status 1"),
    estimator("an estimator that is never fitted", "def build_estimator(seed):\n    while True:\n        pass\n", "estimator.py, on 12 rows of ['distance']: ran for longer than 1 second;"),
]  # fmt: skip
HARMLESS = [
    Code("sound"),
    features("changes what it is given", "batch['distance'] = batch['distance'].fillna(0)\nfeatures = batch[['distance']].copy()\nbatch['id'] = 0\nbatch.drop(batch.index, inplace=True)\nhistory['x'] = 1\nreturn features"),
    features("prints", "print('x' * 10_000)\nreturn batch[['distance']].fillna(0)"),
    features("is slow", "import time\ntime.sleep(0.2)\nreturn batch[['distance']].fillna(0)"),
]  # fmt: skip


def test_each_kind_has_a_place_of_its_own() -> None:
    kinds = [*HARMFUL, *UNSAFE, *HARMLESS]
    assert len({kind.name for kind in kinds}) == len(kinds) >= 20


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Locations:
    """One MLflow for all; each kind has an environment of its own in it, so that nothing else is shared."""
    return Locations.under(tmp_path_factory.mktemp("code"))


def run(
    code: Code, at: Locations, folder: Path, batches: int = BATCHES, odd: int | None = None
) -> tuple[Locations, Stores]:
    """Take batches through the whole loop with a model's code; the loop itself must never end for it."""
    name = "".join(letter if letter.isalnum() else "-" for letter in code.name)
    at = replace(at, env=name, landing=str(folder / "landing"))
    texts = {"expectations": ROWS_ONLY} if "labels" in code.config else {}
    model = write_model(folder, config=code.config, features=code.features, estimator=code.estimator, **texts)
    for day in range(1, batches + 1):
        target = "late" if "labels" in code.config else "minutes"
        labels = labels_of(day, ROWS, whole=target == "late")
        if code.name == "learns one class alone" and day < 4:
            labels = [label[:-1] + "0" for label in labels]
        rows = rows_of(day, ROWS)
        if day == odd:
            rows[0] = rows[0].replace(",1.5,", ",777,")
        land(model, at, "rows", day, {".csv": csv(HEADER, *rows)})
        land(model, at, "labels", day, {".csv": csv(f"id,{target}", *labels)})
        Runner(model, at, sinks=()).run_batch(batch_of(day))
    before = tables(model, at) | records(model, at)
    for day in range(1, batches + 1):
        Runner(model, at, sinks=()).run_batch(batch_of(day))
    assert tables(model, at) | records(model, at) == before, "a second run changes nothing"
    stores = open_stores(at, model.id)
    for day in range(1, batches + 1):
        for feed in ("rows", "labels"):
            record = stores.ledger.get(BatchRecord, f"{feed}.{batch_of(day)}")
            assert record is not None
            assert (record.state, record.clean) == ("published", ROWS), "data are not at fault for code"
    return at, stores


@pytest.mark.parametrize("code", HARMFUL, ids=str)
def test_bad_code_is_refused_and_the_loop_goes_on(code: Code, deployment: Locations, tmp_path: Path) -> None:
    # Labels of the other class come with the fourth batch.
    batches = BATCHES if "labels" in code.config else FIRST_TRIED
    _, stores = run(code, deployment, tmp_path, batches)
    assert {one.baseline for one in stores.ledger.all(PromotionRecord, "champion")} == {True}
    attempts = [one for day in range(1, batches + 1) for one in stores.ledger.all(AttemptRecord, f"{batch_of(day)}.0")]
    assert attempts, "the attempt is on record"
    assert attempts[0].baseline
    assert {one.outcome for one in attempts[1:]} == {"refused"}
    told = "\n".join(one.why for one in attempts)
    assert "model trips" in told or code.name == "learns one class alone"
    for fragment in code.told:
        assert fragment in told


@pytest.mark.parametrize("code", UNSAFE, ids=str)
def test_code_that_ends_its_process_or_never_comes_back_is_refused(
    code: Code, deployment: Locations, tmp_path: Path
) -> None:
    _, stores = run(
        replace(code, config=code.config | QUICK), deployment, tmp_path, batches=3 if "one" in code.name else 2
    )
    attempts = [one for day in (1, 2, 3) for one in stores.ledger.all(AttemptRecord, f"{batch_of(day)}.0")]
    assert attempts[0].baseline
    told = "\n".join(one.why for one in attempts)
    for fragment in code.told:
        assert fragment in told


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Stores:
    """What sound code comes to elsewhere."""
    place = tmp_path_factory.mktemp("sound")
    return run(HARMLESS[0], Locations.under(place), place)[1]


@pytest.mark.parametrize("code", HARMLESS, ids=str)
def test_code_that_is_only_odd_comes_to_what_sound_code_does(
    code: Code, deployment: Locations, sound: Stores, tmp_path: Path
) -> None:
    stores = run(code, deployment, tmp_path)[1]
    promotion = stores.ledger.get(PromotionRecord, "champion", 0)
    assert promotion is not None
    claim = stores.ledger.get(ClaimRecord, batch_of(BATCHES))
    assert claim is not None
    assert claim.version == 1
    for table, names in {"clean": None, "labels": None, "predictions": ["id", "prediction", "model_version"]}.items():
        ours, theirs = (
            one.lake.read_any(table, batch_of(BATCHES), 0).sort_by("id").to_pandas() for one in (stores, sound)
        )
        assert ours[names or list(ours)].equals(theirs[names or list(theirs)])


@pytest.mark.parametrize(
    ("does", "told"),
    [
        ("raise ValueError('too far')", "raised ValueError: too far"),
        ("raise MemoryError('too far')", "raised MemoryError: too far"),
        ("while True: pass", "ran for longer than 1 second;"),
    ],
    ids=["raises", "out of memory", "never comes back"],
)
def test_a_champion_that_fails_on_one_batch_leaves_it_unscored_and_scores_the_next(
    does: str, told: str, deployment: Locations, tmp_path: Path
) -> None:
    body = f"if (batch['distance'] == 777).any():\n    {does}\nreturn batch[['distance']].fillna(0)"
    code = replace(features(f"a champion that fails {told}", body), config=QUICK)
    at, stores = run(code, deployment, tmp_path, batches=6, odd=5)
    claims = [stores.ledger.last(ClaimRecord, batch_of(day)) for day in (5, 6)]
    assert [claim.version if claim else 0 for claim in claims] == [None, 1]
    assert claims[0] is not None
    assert claims[0].why.startswith("version 1 failed: model trips, features.py, build_features on batch 2024-01-05: ")
    assert told in claims[0].why
    incidents = [
        text
        for place, text in records(load_model_folder(tmp_path / "models" / "trips"), at).items()
        if place.startswith("incident/unscored")
    ]
    assert any("Mend the columns or features.py, then retrain." in one for one in incidents)
    assert "predictions/2024-01-05" not in fingerprint(load_model_folder(tmp_path / "models" / "trips"), at)


@pytest.mark.parametrize(
    ("file", "text", "told"),
    [
        ("features", "def build_feature(batch, history):\n    return batch\n", "features.py: has no function build_features; valid: def build_features(batch, history)"),
        ("estimator", "from sklearn.linear_model import LinearRegression\n", "estimator.py: has no function build_estimator; valid: def build_estimator(seed)"),
        ("features", "def build_features(batch, history)\n", "features.py: is not Python: expected ':'"),
        ("features", "", "features.py: has no function build_features"),
        ("estimator", b"# caf\xe9\n", "estimator.py: is not Python: 'utf-8' codec can't decode byte 0xe9"),
    ],
    ids=["another function", "no function", "a syntax error", "an empty file", "another encoding"],
)  # fmt: skip
def test_code_that_cannot_be_called_is_refused_with_the_folder(
    file: str, text: str | bytes, told: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigInvalid) as raised:
        write_model(tmp_path, **{file: text})
    assert told in str(raised.value)
