"""The online store in a real Redis: the same rules as in a file, and the same values as a batch reads."""

import shutil
import socket
import subprocess
import sys
import time
from dataclasses import replace

import pandas as pd
import pytest

from evergreen.config.locations import view_roots
from evergreen.config.view_folder import load_views
from evergreen.errors import ConfigInvalid, ExtraMissing, Outage
from evergreen.features.online import OnlineViews
from evergreen.replay.runner import Runner
from evergreen.steps.compute_views import compute_views
from evergreen.storage.online import open_online
from tests.unit.small_loop import day
from tests.unit.storage.test_online import keep_the_newest, keep_views_apart
from tests.unit.views import expected_features, land, make_arrivals, view_loop

REDIS = shutil.which("redis-server")
pytestmark = pytest.mark.skipif(REDIS is None, reason="no redis-server on the PATH (Debian's package)")


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    folder = tmp_path_factory.mktemp("redis")
    # Nothing is written to the disk.
    command = [str(REDIS), "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", str(folder)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield f"redis://:@127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(10)


def test_the_newest_value_stays_whoever_comes_last(url):
    keep_the_newest(open_online(f"{url}/1"))


def test_versions_and_deployments_are_kept_apart(url):
    keep_views_apart(open_online(f"{url}/2"))


def test_a_request_finds_what_its_batch_will(url, tmp_path, monkeypatch):
    monkeypatch.setenv("EVERGREEN_FEATURES", str(tmp_path / "features"))
    loop = view_loop(tmp_path)
    loop = replace(loop, at=replace(loop.at, online=f"{url}/3"))
    for number in range(1, 8):
        land(loop, number)
        Runner(loop.model, loop.at, sinks=()).take_in(day(number))
        compute_views(loop.model, loop.at, day(number), load_views(loop.model, view_roots(), []))
    rows = make_arrivals(8)[["id", "at", "zone", "x"]]
    views = OnlineViews.open(loop.stores, {"zones": 1}, loop.model.config.data_schema, day(8))
    found = views.join(rows)[["x", "zones.trips", "zones.mean_x"]].fillna(-1.0)
    pd.testing.assert_frame_equal(found, expected_features(8), rtol=0, atol=1e-12)
    # Nothing was kept beside it.
    assert not (tmp_path / "online.db").exists()


def test_one_that_does_not_answer_is_an_outage_named_without_its_password():
    with pytest.raises(Outage, match=r"online store, Redis at 127\.0\.0\.1: .*refused") as down:
        open_online("redis://:secret@127.0.0.1:1/0").written("dev/zones.v1")
    assert "secret" not in str(down.value)
    assert down.value.place == "Redis at 127.0.0.1"


def test_what_is_no_url_of_a_redis_is_refused_without_its_password():
    with pytest.raises(ConfigInvalid, match="valid: redis://HOST:PORT/NUMBER") as refused:
        open_online("redis://:secret@host:port/0")
    assert "secret" not in str(refused.value)


def test_without_the_client_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "redis", None)
    monkeypatch.delitem(sys.modules, "evergreen.storage.online_redis", raising=False)
    with pytest.raises(ExtraMissing, match=r"EVERGREEN_ONLINE=redis://… needs the package redis.*\[online\]"):
        open_online("redis://127.0.0.1:1/0")
