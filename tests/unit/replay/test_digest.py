"""The digest tells of the day before: who serves, how well, what was scored and promoted, and what is open."""

from datetime import UTC, datetime, timedelta

import pytest

from evergreen.config.locations import digest_time
from evergreen.errors import ConfigInvalid
from evergreen.incidents import last_incident, report
from evergreen.replay.digest import DIGEST, announce_digest, describe_day
from evergreen.storage.stores import open_stores
from tests.unit.small_loop import SmallLoop, day


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    loop = SmallLoop.begun(tmp_path_factory.mktemp("lived"), 3, retrain={"any": ["never"]})
    report(loop.stores.ledger, "drift", day(3), "drifted")
    return loop


def test_a_line_a_model_tells_of_the_day_before_alone(lived):
    today, versions = datetime.now(UTC).date(), [one.version for one in lived.promotions]
    head, line = describe_day([lived.model], lived.at, today + timedelta(days=1))
    assert head == f"1 model, 1 with something open, on {today} (UTC):"
    assert line.startswith(f"• small: version {versions[-1]} since {lived.promotions[-1].effective_from}, ")
    assert " of 3 batches scored, " in line
    assert f"promoted: version {', '.join(map(str, versions))}" in line
    assert line.endswith("open: inputs drifted")
    later = list(describe_day([lived.model], lived.at, today + timedelta(days=2)))[1]
    assert "no batch was scored" in later
    assert "promoted" not in later


def test_it_is_on_record_once_a_day_from_its_time_on(lived, monkeypatch):
    monkeypatch.setenv("EVERGREEN_ALERTS_DIGEST", "07:00")
    ledger, midnight = open_stores(lived.at, DIGEST).ledger, datetime(2030, 1, 7, tzinfo=UTC)
    for hour, count in ((6, 0), (7, 1), (23, 1), (24 + 6, 1), (24 + 8, 2)):
        announce_digest([lived.model], lived.at, midnight + timedelta(hours=hour))
        last = last_incident(ledger, "digest")
        assert (last.opened.n + 1 if last else 0) == count


@pytest.mark.parametrize("said", ["7h", "25:00", "soon"])
def test_a_time_that_is_none_is_refused(said, monkeypatch):
    monkeypatch.setenv("EVERGREEN_ALERTS_DIGEST", said)
    with pytest.raises(ConfigInvalid, match=r"EVERGREEN_ALERTS_DIGEST: found .*valid: a time in UTC"):
        digest_time()
