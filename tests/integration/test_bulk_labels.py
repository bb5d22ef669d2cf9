"""Labels that come in bulk: a bulk is a holdout, one before it is learnt from, and days of rows are the blocks."""

from dataclasses import replace
from pathlib import Path

import yaml

from include.config.locations import Locations
from include.config.policies import Cusum
from include.policies import find_reasons
from include.policies.situations import describe_situation, measure_losses
from include.records import AttemptRecord, ClosingRecord, PromotionRecord, VerdictRecord
from include.storage.stores import open_stores
from tests.short_loop import STREAM, TAXI, run, short_model

BULKS = replace(STREAM, bulk=4, broken=())


def test_the_second_bulk_brings_the_first_version_and_the_fourth_its_successor(tmp_path: Path) -> None:
    labels = yaml.safe_load((TAXI / "config.yaml").read_text())["labels"]
    model = short_model(tmp_path, labels=labels | {"max_delay": 10})
    at = Locations.under(tmp_path)
    name = model.config.calendar.name
    run(model, at, *range(1, 17), stream=BULKS)
    ledger = open_stores(at, model.id).ledger
    first, second = ledger.all(PromotionRecord, "champion")
    assert first.as_of == name(7)
    attempt = ledger.get(AttemptRecord, f"{name(7)}.0")
    assert attempt is not None
    assert (attempt.trained_on, attempt.holdout) == ((name(3), name(3)), (name(7),))
    assert attempt.judgement is not None
    # Day 8's label file has the outcomes of four days, and of late trips of the day before them.
    assert attempt.judgement.blocks >= 4
    # Trips take twice as long from day 7 on. What was learnt to day 8 cannot show it; day 12 does, and 16 can judge.
    told = ledger.get(VerdictRecord, name(11))
    assert told is not None
    assert told.outcomes.state == "bad"
    assert told.outcomes.numbers["rows"] > 500
    # Policies that watch each batch's error need four of them: a bulk's days are told apart.
    stores = open_stores(at, model.id)
    arrived = measure_losses(model.config, stores, first, name(11), 28)
    assert arrived is not None
    assert len(arrived.losses) >= 4
    assert (set(arrived.ages), arrived.reach) == ({0}, 4)
    situation = describe_situation(model, stores, [name(11)], first, attempt.verdict, told.inputs, told.outcomes)
    assert find_reasons((Cusum(k=0.5, h=1),), situation) == ("decay",)
    closing = ledger.get(ClosingRecord, f"{name(11)}.0")
    assert closing is not None
    assert closing.outcome == "promoted"
    assert second.as_of == name(15)
    assert second.trained_on == (name(15), name(15))
