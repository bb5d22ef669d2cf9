"""Follows a model: hands predictions on once they are made, and writes down who serves once that changes."""

import json
from pathlib import Path

from airflow.sdk import DAG, Asset, task

SCORED, PROMOTED = Asset("evergreen://taxi/predictions"), Asset("evergreen://taxi/model")


@task
def hand_on(folder, triggering_asset_events=None):
    """Write the predictions of each batch that was scored since the last run; one may come twice, and is the same."""
    from evergreen import read_predictions

    made = [event.extra for event in triggering_asset_events[SCORED]]
    batches = sorted({batch for extra in made for batch in extra.get("batches") or [extra["batch"]]})
    for batch in batches:
        read_predictions("taxi", batch).to_csv(Path(folder, f"predictions_{batch}.csv"), index=False)
    return batches


@task
def note_champion(folder, triggering_asset_events=None):
    """Write down the version that serves; events may come in any order, so the highest promotion counts."""
    newest = max((event.extra for event in triggering_asset_events[PROMOTED]), key=lambda extra: extra["promotion"])
    Path(folder, "champion.json").write_text(json.dumps(newest))
    return newest["version"]


with DAG("taxi_follow_scores", schedule=SCORED, is_paused_upon_creation=False, default_args={"retries": 3}):
    hand_on("{{ var.value.exports }}")

# One run at a time: the later one has the later promotions.
with DAG(
    "taxi_follow_champion",
    schedule=PROMOTED,
    max_active_runs=1,
    is_paused_upon_creation=False,
    default_args={"retries": 3},
):
    note_champion("{{ var.value.exports }}")
