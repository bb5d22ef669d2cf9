"""A large batch of a rowwise model is scored piece by piece: to the same predictions, or to none."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from deltalake import DeltaTable

from evergreen.config.locations import Locations
from evergreen.errors import SourceChanged
from evergreen.features.batch_statistics import Statistics
from evergreen.features.building import build_features, call_predict
from evergreen.features.scoring_in_pieces import find_streamable
from evergreen.incidents import last_incident
from evergreen.judging.claims import make_claim
from evergreen.judging.promotions import promotion_serving
from evergreen.records import BatchRecord, ClaimRecord, PromotionRecord
from evergreen.steps.score_batch import score_batch
from evergreen.storage.pieces import ROWS
from evergreen.storage.revisions import scored_partition
from evergreen.storage.stores import open_stores
from tests.large_batch import FEATURES, make_model, make_rows, promote, seal_rows
from tests.short_loop import load_version

ROOT = Path(__file__).parent.parent.parent.parent
DAY, COUNT = "2024-01-01", 2 * ROWS + 1_000
LAST = "trip-0000132071"


@pytest.fixture(scope="module")
def rows():
    return make_rows(COUNT)


@pytest.fixture
def begin(tmp_path, rows):
    """A champion, and a large batch to score."""

    def make(features=FEATURES, stored=rows):
        model, at = make_model(tmp_path, iterations=10, features=features), Locations.under(tmp_path)
        promote(model, at, learnt=2_000)
        seal_rows(model, at, DAY, rows)
        if stored is not rows:
            open_stores(at, model.id).lake.replace("clean", DAY, 0, stored, {})
        return model, at

    return make


def whole(model, at):
    """The same batch predicted at once, from frames; by key."""
    stores = open_stores(at, model.id)
    claim, packed = stores.ledger.get(ClaimRecord, DAY), load_version(stores, 1)
    built = build_features(model.config.data_schema, stores, packed, claim)
    predicted = call_predict(packed, built.features, DAY)
    return built.keys.assign(prediction=predicted, model_version=1, data_version=claim.data)


def scored(at, model):
    """What stands in the table, by key."""
    return open_stores(at, model.id).lake.read_any("predictions", DAY, 0).sort_by("trip_id")


def test_the_predictions_are_those_of_the_whole_batch(begin, rows):
    model, at = begin()
    result = score_batch(model, at, DAY)
    stores = open_stores(at, model.id)
    assert find_streamable(model.config.data_schema, stores, load_version(stores, 1), result.claim) is not None
    expected = pa.Table.from_pandas(whole(model, at), preserve_index=False).replace_schema_metadata()
    assert result.rows == COUNT
    assert scored(at, model).equals(expected)
    assert scored(at, model).column("trip_id").to_pylist() == rows.column("trip_id").to_pylist()
    table = DeltaTable(stores.lake.table_uri("predictions"))
    assert (table.version(), table.history()[0]["evergreen.version"]) == (0, "1")
    # Counted as they passed, so that a check need not read them.
    kept = stores.lake.get_statistics(scored_partition(result.claim))
    values = expected.column("prediction").to_numpy()
    counted = Statistics.parse(kept, "").columns["prediction"]
    assert (counted.count, counted.missing, counted.ends) == (COUNT, 0, (values.min(), values.max()))
    assert score_batch(model, at, DAY).claim == result.claim
    assert scored(at, model).equals(expected)


def test_a_batch_of_one_piece_is_read_whole_for_the_check_that_follows(begin, tmp_path):
    model, at = begin()
    seal_rows(model, at, "2024-01-02", make_rows(ROWS))
    score_batch(model, at, DAY)
    claim = score_batch(model, at, "2024-01-02").claim
    stores = open_stores(at, model.id)
    assert find_streamable(model.config.data_schema, stores, load_version(stores, 1), claim) is None


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        (f'    if (batch["trip_id"] == "{LAST}").any():\n        raise ValueError("{LAST}")\n', f"ValueError: {LAST}"),
        (
            f'    if (batch["trip_id"] == "{LAST}").any():\n        batch = batch.iloc[1:]\n',
            "returned 999 rows for 1000",
        ),
        (
            f'    if (batch["trip_id"] == "{LAST}").any():\n        batch = batch.rename(index=lambda i: i + 1)\n',
            "or another index",
        ),
    ],
)
def test_code_that_fails_in_the_last_piece_leaves_nothing_but_a_claim_by_nobody(broken, told, begin):
    model, at = begin(FEATURES.replace('    pickup = batch["pickup"]\n', broken + '    pickup = batch["pickup"]\n'))
    result = score_batch(model, at, DAY)
    ledger = open_stores(at, model.id).ledger
    assert (result.rows, result.claim.revision, result.claim.version) == (0, 1, None)
    assert result.claim.why.startswith("version 1 failed: model trips, features.py, build_features on batch 2024-01-01")
    assert told in result.claim.why
    assert open_stores(at, model.id).lake.read_any("predictions", DAY, 0).num_columns == 0
    assert score_batch(model, at, DAY).claim == ledger.get(ClaimRecord, DAY, 1)
    incident = last_incident(ledger, "unscored")
    assert result.claim.why in incident.opened.told
    assert "Mend the columns or features.py" in incident.opened.told


def test_rows_in_another_order_are_the_same(begin, rows):
    shuffled = rows.take(pa.array(np.random.default_rng(0).permutation(COUNT)))
    model, at = begin(stored=shuffled.combine_chunks())
    assert score_batch(model, at, DAY).rows == COUNT
    expected = pa.Table.from_pandas(whole(model, at), preserve_index=False).replace_schema_metadata()
    assert scored(at, model).equals(expected)


def test_rows_that_are_not_the_records_are_not_scored(begin, rows):
    model, at = begin(stored=rows.slice(0, COUNT - 1))
    with pytest.raises(SourceChanged, match="restore an earlier table version"):
        score_batch(model, at, DAY)
    assert open_stores(at, model.id).lake.read_any("predictions", DAY, 0).num_columns == 0
    assert open_stores(at, model.id).ledger.get(BatchRecord, f"rows.{DAY}").clean == COUNT


def test_killed_in_the_middle_the_next_run_ends_as_one_left_alone(begin, tmp_path):
    dying = (
        f'    import os, signal\n    if "DIE" in os.environ and (batch["trip_id"] == "{LAST}").any():\n'
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    model, at = begin(FEATURES.replace('    pickup = batch["pickup"]\n', dying + '    pickup = batch["pickup"]\n'))
    command = [sys.executable, "-m", "tests.bench.streaming", "score", str(tmp_path), DAY]
    environment = os.environ | {"DIE": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=300)
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]
    claim = open_stores(at, model.id).ledger.last(ClaimRecord, DAY)
    assert claim is not None
    assert open_stores(at, model.id).lake.read_any("predictions", DAY, 0).num_columns == 0
    result = score_batch(model, at, DAY)
    assert (result.claim, result.rows) == (claim, COUNT)
    assert scored(at, model).to_pandas().equals(whole(model, at))


def test_a_batch_is_scored_by_the_version_that_claimed_it_whatever_serves_by_then(tmp_path):
    """A run was killed between claim and predictions, and a newer version is in force when it is made again."""
    model, at = make_model(tmp_path, iterations=10), Locations.under(tmp_path)
    promote(model, at, learnt=300)
    seal_rows(model, at, DAY, make_rows(50))
    stores = open_stores(at, model.id)
    claim = stores.ledger.put(make_claim(model, stores, DAY))
    newer = promote(make_model(tmp_path, iterations=2), at, learnt=300)
    first = stores.ledger.last(PromotionRecord, "champion")
    stores.ledger.put(first.model_copy(update={"number": 2, "version": newer}))
    assert (claim.version, promotion_serving(stores.ledger, DAY).version) == (1, newer)
    assert score_batch(model, at, DAY).claim == claim
    assert scored(at, model).to_pandas().equals(whole(model, at))


def test_rows_that_nobody_serves_open_an_incident_and_it_is_over_once_they_are_scored(tmp_path):
    model, at = make_model(tmp_path, iterations=10), Locations.under(tmp_path)
    seal_rows(model, at, DAY, make_rows(50))
    assert score_batch(model, at, DAY).claim.why == "no champion yet"
    ledger = open_stores(at, model.id).ledger
    told = last_incident(ledger, "unscored").opened
    assert f"batch {DAY} has no predictions: no champion yet." in told.text
    assert told.todo.startswith("Nothing yet: the first check that knows 100 labels asks for a version.")
    promote(model, at, learnt=2_000)
    seal_rows(model, at, "2024-01-02", make_rows(50))
    assert score_batch(model, at, "2024-01-02").rows == 50
    assert last_incident(ledger, "unscored").resolved.as_of == "2024-01-02"


def test_a_version_that_reads_what_config_no_longer_says_leaves_rows_unscored(tmp_path):
    model, at = make_model(tmp_path, iterations=10), Locations.under(tmp_path)
    promote(model, at, learnt=2_000)
    seal_rows(model, at, DAY, make_rows(50))
    columns = {name: column for name, column in model.config.rows.columns.items() if name != "tolls"}
    rows = model.config.rows.model_copy(update={"columns": columns})
    fewer = model.replace(model.config.model_copy(update={"rows": rows}))
    assert score_batch(fewer, at, DAY).claim.why == "version 1 reads tolls (float), as config.yaml does not say"
    text = last_incident(open_stores(at, model.id).ledger, "unscored").opened.told
    assert "version 1 reads tolls" in text
    assert "Mend the columns" in text


@pytest.mark.parametrize("state", ["rejected", "missing", "published"])
def test_a_batch_without_a_clean_row_has_nothing_to_score(state, tmp_path):
    model, at = make_model(tmp_path, iterations=10), Locations.under(tmp_path)
    ledger = open_stores(at, model.id).ledger
    ledger.put(BatchRecord(as_of=DAY, feed="rows", revision=0, state=state))
    assert score_batch(model, at, DAY).rows == 0
    assert last_incident(ledger, "unscored") is None
