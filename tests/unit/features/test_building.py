"""History and its cut: what may be read for a batch, and what a model's own code may return."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml

from evergreen.config.contract import ModelConfig
from evergreen.config.model_folder import load_model_folder
from evergreen.config.model_spec import ModelSpec
from evergreen.errors import FeaturesInvalid
from evergreen.features.building import call_features, call_predict, list_readable_data, read_history
from evergreen.features.reading import published
from evergreen.records import BatchRecord, DataRecord
from evergreen.storage.content import content_hash
from evergreen.storage.model_from_code import load_module
from evergreen.storage.packed_model import PackedModel
from evergreen.storage.stores import open_stores
from tests.unit.conftest import CONFIG

ROWS = pd.DataFrame({"id": [1, 2, 3], "distance": [1.0, None, 3.0]})


@pytest.fixture
def call(tmp_path):
    """Call one build_features on ROWS, as a packed model would."""

    def run(body, features=()):
        path = tmp_path / "features.py"
        path.write_text(f"import pandas as pd\n\n\ndef build_features(batch, history):\n    {body}\n")
        spec = ModelSpec.of("taxi", ModelConfig.model_validate(yaml.safe_load(CONFIG)), "all")
        spec = spec.model_copy(update={"features": tuple(features) or None})
        packed = PackedModel(tmp_path, spec, load_module(path, "features"), None)
        return call_features(packed, ROWS, ROWS.iloc[:0], "2024-01-01")

    return run


def test_features_come_back_row_by_row(call):
    assert call("return batch[['distance']] * 2", ["distance"])["distance"].tolist()[::2] == [2.0, 6.0]


def test_the_rows_themselves_cannot_be_changed(call):
    call("batch['distance'] = 0; history['x'] = 1; return batch[['distance']]")
    assert ROWS["distance"].tolist()[::2] == [1.0, 3.0]
    assert list(ROWS.columns) == ["id", "distance"]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("return batch[['fare']]", "raised KeyError"),
        ("return 1 / 0", "raised ZeroDivisionError: division by zero"),
        ("return batch['distance']", "returned Series; expected a DataFrame"),
        ("return None", "returned NoneType; expected a DataFrame"),
        ("return batch[['distance']].dropna()", "returned 2 rows for 3"),
        ("return pd.concat([batch, batch])[['distance']]", "returned 6 rows for 3"),
        ("return batch.sort_values('id', ascending=False)[['distance']]", "or another index"),
        ("return batch[['id']]", "returned columns ['id']; it was trained on ['distance']"),
        ("return batch[['distance', 'id']]", "it was trained on ['distance']"),
    ],
)
def test_code_that_breaks_its_contract_is_told_with_model_file_and_batch(body, told, call):
    with pytest.raises(FeaturesInvalid) as raised:
        call(body, ["distance"])
    assert str(raised.value).startswith("model taxi, features.py, build_features on batch 2024-01-01: ")
    assert told in str(raised.value)


def seal(stores, feed, number, state="published", clean=5):
    content = f"{feed}{number}" if clean else ""
    record = BatchRecord(
        as_of=f"2024-01-{number:02d}", feed=feed, revision=0, state=state, clean=clean, content=content
    )
    stores.ledger.put(record)


@pytest.mark.parametrize(
    ("lookback", "rows", "labels", "cut"),
    [
        (0, [6], [], None),
        (1, [5, 6], [5], "2024-01-05"),
        (2, [5, 6], [4, 5], "2024-01-05"),
        (3, [3, 5, 6], [4, 5], "2024-01-05"),
        (99, [1, 3, 5, 6], [1, 4, 5], "2024-01-05"),
    ],
)
def test_a_batch_reads_its_lookback_and_labels_known_before_it(
    lookback, rows, labels, cut, write_folder, edit_config, at
):
    text = edit_config("lookback: 0, rowwise: true", f"lookback: {lookback}")
    model = load_model_folder(write_folder(config=text))
    stores = open_stores(at, model.id)
    for number in range(1, 9):
        seal(stores, "rows", number, "rejected" if number == 4 else "published", 0 if number in (2, 4) else 5)
        seal(stores, "labels", number, "missing" if number == 3 else "published", 0 if number in (2, 3) else 5)
    data, label_cut = list_readable_data(model.config.data_schema, stores, "2024-01-06", model.config.features.lookback)
    assert [int(p.batch[-2:]) for p in data.partitions if p.table == "clean"] == rows
    assert [int(p.batch[-2:]) for p in data.partitions if p.table == "labels"] == labels
    assert label_cut == cut


@pytest.mark.parametrize("cut", [4, 5])
def test_history_has_the_newest_label_that_is_known_for_each_row(cut, write_folder, edit_config, at):
    """Row 1 is corrected at the fifth, within the lookback; row 2 has one label, row 3 none."""
    model = load_model_folder(write_folder(config=edit_config("lookback: 0, rowwise: true", "lookback: 5")))
    stores, schema = open_stores(at, model.id), model.config.data_schema
    rows = {"id": [1, 2, 3], "at": [datetime(2024, 1, 3, tzinfo=UTC)] * 3, "distance": [1.0] * 3, "zone": ["a"] * 3}
    for feed, table, number, columns in (
        ("rows", "clean", 3, rows),
        ("labels", "labels", 3, {"id": [1], "minutes": [10.0]}),
        ("labels", "labels", 4, {"id": [2], "minutes": [20.0]}),
        ("labels", "labels", 5, {"id": [1], "minutes": [11.0]}),
    ):
        batch, stored = f"2024-01-{number:02d}", pa.table(columns)
        stores.lake.replace(table, batch, 0, stored, {})
        facts = {"clean": stored.num_rows, "content": content_hash(stored)}
        stores.ledger.put(BatchRecord(as_of=batch, feed=feed, revision=0, state="published", **facts))
    span = [f"2024-01-{number:02d}" for number in range(3, cut + 1)]
    listed = [one for feed in ("rows", "labels") for one in published(stores, feed, span)]
    history = read_history(schema, stores, DataRecord.listing(listed), "2024-01-06").sort_values("id")
    assert history["minutes"].fillna(-1).tolist() == [11.0 if cut == 5 else 10.0, 20.0, -1.0]


def test_a_partition_is_named_by_its_record(write_folder, at):
    model = load_model_folder(write_folder())
    stores = open_stores(at, model.id)
    seal(stores, "labels", 1)
    (partition,) = published(stores, "labels", ["2024-01-01", "2024-01-02"])
    assert (partition.table, partition.batch, partition.revision, partition.content) == (
        "labels",
        "2024-01-01",
        0,
        "labels1",
    )


def test_an_estimator_that_works_in_place_changes_nothing_that_is_kept():
    def predict(features):
        features["distance"] = 0.0
        return np.zeros(len(features))

    features = pd.DataFrame({"distance": [1.5, 2.5]})
    spec = SimpleNamespace(model="taxi", time_limit=timedelta(hours=1))
    call_predict(SimpleNamespace(spec=spec, predict_features=predict), features, "2024-01-01")
    assert features["distance"].tolist() == [1.5, 2.5]
