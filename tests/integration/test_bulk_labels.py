"""Labels that come in bulk: a bulk is a holdout, one before it is learnt from, and days of rows are the blocks."""

from dataclasses import replace
from pathlib import Path

import yaml

from evergreen.config.locations import Locations
from evergreen.records import AttemptRecord, PromotionRecord, VerdictRecord
from evergreen.storage.stores import open_stores
from tests.short_loop import STREAM, TAXI, run, short_model

BULKS = replace(STREAM, bulk=4, broken=())


def test_a_bulk_is_a_holdout_and_its_days_are_the_blocks(tmp_path: Path) -> None:
    labels = yaml.safe_load((TAXI / "config.yaml").read_text())["labels"]
    model = short_model(tmp_path, labels=labels | {"max_delay": 10}, retrain={"any": [{"every": 1}]})
    at = Locations.under(tmp_path)
    name = model.config.calendar.name
    run(model, at, *range(1, 17), stream=BULKS)
    ledger = open_stores(at, model.id).ledger
    baseline, second, third = ledger.all(PromotionRecord, "champion")
    # The first bulk brings the baseline; the second can judge what has learnt from the first.
    assert (baseline.as_of, baseline.baseline) == (name(3), True)
    assert (second.as_of, second.baseline) == (name(7), False)
    attempt = ledger.get(AttemptRecord, second.attempt)
    assert attempt is not None
    assert (attempt.trained_on, attempt.holdout) == ((name(0), name(3)), (name(7),))
    assert attempt.judgement is not None
    # Day 8's label file has the outcomes of four days, and of late trips of the day before them.
    assert attempt.judgement.blocks >= 4
    told = ledger.get(VerdictRecord, name(11))
    assert told is not None
    assert told.outcomes.numbers["rows"] > 500
    # Trips take twice as long from day 7 on. What was learnt to day 8 hardly shows it; day 12 does, and 16 can judge.
    assert third.as_of == name(15)
    assert third.trained_on == (name(15), name(15))
