"""Ten nights unattended: batches a minute long, on a cron of minutes, in the time that the clock on the wall shows."""

import gzip
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from evergreen.config.model_folder import ModelFolder
from evergreen.records import BatchRecord, ClaimRecord, PromotionRecord
from evergreen.storage.stores import open_stores
from tests.live.services import make_model, running, wait_until
from tests.short_loop import STREAM

NIGHTS = 10
FILES = {"files": "green_{batch:%Y-%m-%dT%H%M}.csv.gz", "complete": {"marker": "green_{batch:%Y-%m-%dT%H%M}.done"}}
LABELS = {"files": "labels_{batch:%Y-%m-%dT%H%M}.csv", "complete": {"marker": "labels_{batch:%Y-%m-%dT%H%M}.done"}}


def deliver(model: ModelFolder, folder: Path, number: int) -> None:
    """The source's own night: the files of a batch, each with its marker."""
    minute = model.config.calendar.name(number - 1)
    rows = STREAM.make_rows(number).to_csv(index=False).encode()
    (folder / f"green_{minute}.csv.gz").write_bytes(gzip.compress(rows))
    (folder / f"labels_{minute}.csv").write_text(STREAM.make_labels(number).to_csv(index=False))
    for name in ("green", "labels"):
        (folder / f"{name}_{minute}.done").touch()


@pytest.mark.long
def test_ten_scheduled_nights_pass_unattended(tmp_path: Path) -> None:
    # The services take a while to start; the first night begins when they are up.
    start = (datetime.now(UTC) + timedelta(minutes=2)).replace(second=0, microsecond=0)
    model = make_model(
        tmp_path / "models",
        "nightly",
        schedule={"every": "minute", "cron": "* * * * *", "start": start},
        source={**FILES, "wait": "3m"},
        labels={**LABELS, "key": ["trip_id"], "target": {"trip_minutes": "float"}, "wait": "3m", "max_delay": 7},
    )
    with running(tmp_path / "home", model.path.parent) as live:
        folder = Path(live.at.landing) / model.id
        folder.mkdir(parents=True)

        def deliver_all() -> None:
            for number in range(1, NIGHTS + 1):
                due = model.config.calendar.starts_at(number)
                time.sleep(max(0.0, (due - datetime.now(UTC)).total_seconds()) + 3)
                deliver(model, folder, number)

        source = threading.Thread(target=deliver_all, daemon=True)
        source.start()
        ledger = open_stores(live.at, model.id).ledger
        last = model.config.calendar.name(NIGHTS - 1)
        wait_until(lambda: ledger.get(ClaimRecord, last), 60 * (NIGHTS + 6), "the tenth night to be scored")
        nights = [
            f"scheduled__{model.config.calendar.starts_at(number).isoformat()}" for number in range(1, NIGHTS + 1)
        ]
        for dag_id in ("nightly__batch", "nightly__drift"):
            wait_until(
                lambda dag_id=dag_id: {live.runs(dag_id).get(night) for night in nights} <= {"success", "failed"},
                180,
                f"ten runs of {dag_id} to end",
            )
        states = Counter(live.runs("nightly__batch")[night] for night in nights)
        # The third file has a renamed column, as in every short run; the nine others passed.
        assert states == {"success": 9, "failed": 1}
        assert {live.runs("nightly__drift")[night] for night in nights} == {"success"}
    sealed = [ledger.get(BatchRecord, f"rows.{model.config.calendar.name(number)}") for number in range(NIGHTS)]
    assert [record.state for record in sealed if record] == ["published"] * 2 + ["rejected"] + ["published"] * 7
    promotion = ledger.last(PromotionRecord, "champion")
    assert promotion is not None
    final = ledger.last(ClaimRecord, last)
    assert final is not None
    assert final.version is not None
