"""The online store keeps of each key the newest value, whoever writes last."""

import sqlite3
from datetime import datetime

import pytest

from evergreen.errors import ConfigInvalid, Outage
from evergreen.storage.online import OnlineValue, open_online


def value(key, hour, batch, *columns):
    return OnlineValue.of((key,), datetime(2024, 1, 1, hour), batch, columns)


@pytest.fixture
def store(tmp_path):
    return open_online(f"sqlite:///{tmp_path / 'home' / 'online.db'}")


def keep_the_newest(store):
    """What any online store must do."""
    assert store.written("dev/zones.v1") is None
    store.write(
        "dev/zones.v1", "2024-01-02", [value("a", 5, "2024-01-02", 2, None), value("b", 9, "2024-01-02", 9, 0.5)], ""
    )
    # One that was late: an older batch, with a key of its own, a value that is older, and one that is as old.
    late = [
        value("a", 5, "2024-01-01", 1, 1.0),
        value("b", 3, "2024-01-01", 3, 1.0),
        value("c", 1, "2024-01-01", 1, 1.0),
    ]
    store.write("dev/zones.v1", "2024-01-01", late, "")
    found = {one.key: one for one in store.read("dev/zones.v1", ['["a"]', '["b"]', '["c"]', '["d"]'])}
    assert {key: one.content for key, one in found.items()} == {
        '["a"]': "[2, null]", '["b"]': "[9, 0.5]", '["c"]': "[1, 1.0]"
    }  # fmt: skip
    assert found['["a"]'].stamp == "2024-01-01T05:00:00.000000 2024-01-02"
    assert store.written("dev/zones.v1") == "2024-01-02"
    # The same event time, seen by a later batch.
    store.write("dev/zones.v1", "2024-01-03", [value("a", 5, "2024-01-03", 3, None)], "")
    assert [one.content for one in store.read("dev/zones.v1", ['["a"]'])] == ["[3, null]"]


def keep_views_apart(store):
    store.write("dev/zones.v1", "2024-01-02", [value("a", 5, "2024-01-02", 1)], "")
    store.write("dev/zones.v2", "2024-01-01", [value("a", 5, "2024-01-01", 2)], "")
    store.write("prod/zones.v1", "2024-01-01", [], "")
    assert [one.content for one in store.read("dev/zones.v2", ['["a"]'])] == ["[2]"]
    assert store.read("prod/zones.v1", ['["a"]']) == []
    assert store.written("prod/zones.v1") == "2024-01-01"


def test_the_newest_value_stays_whoever_comes_last(store):
    keep_the_newest(store)


def test_versions_and_deployments_are_kept_apart(store):
    keep_views_apart(store)


def test_many_keys_are_read_in_one_call(store):
    values = [value(f"zone {n}", 1, "2024-01-01", n) for n in range(1_234)]
    store.write("v", "2024-01-01", values, "")
    assert len(store.read("v", [one.key for one in values])) == 1_234


def test_what_is_too_old_for_any_later_batch_is_deleted(store):
    store.write("v", "2024-01-01", [value("a", 1, "2024-01-01", 1), value("b", 5, "2024-01-01", 2)], "")
    store.write("v", "2024-01-02", [], "2024-01-01T05:00:00.000000")
    assert [one.key for one in store.read("v", ['["a"]', '["b"]'])] == ['["b"]']


def test_a_file_that_is_no_database_is_told(tmp_path):
    (tmp_path / "online.db").write_text("not a database, but longer than a header of one would be " * 20)
    with pytest.raises(Outage, match=r"online store .*online\.db: file is not a database; delete the file"):
        open_online(f"sqlite:///{tmp_path / 'online.db'}").read("v", ["k"])


def test_who_reads_makes_no_file_and_one_that_was_left_empty_is_filled(tmp_path):
    store = open_online(f"sqlite:///{tmp_path / 'online.db'}")
    with pytest.raises(Outage, match="unable to open database file"):
        store.read("v", ["k"])
    assert not (tmp_path / "online.db").exists()
    (tmp_path / "online.db").touch()
    assert store.written("v") is None
    store.write("v", "2024-01-01", [value("a", 1, "2024-01-01", 1)], "")
    assert store.written("v") == "2024-01-01"


def test_one_that_others_hold_is_waited_for_and_then_told(tmp_path, monkeypatch):
    monkeypatch.setattr("evergreen.storage.online._WAIT", 0.05)
    store = open_online(f"sqlite:///{tmp_path / 'online.db'}")
    store.write("v", "2024-01-01", [], "")
    holder = sqlite3.connect(tmp_path / "online.db")
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(Outage, match="database is locked"):
        store.write("v", "2024-01-02", [], "")
    holder.rollback()
    store.write("v", "2024-01-02", [], "")
    holder.close()


@pytest.mark.parametrize("url", ["online.db", "postgresql://user:secret@host/db", "sqlite://online.db"])
def test_another_url_is_refused_without_its_password(url):
    with pytest.raises(ConfigInvalid, match="EVERGREEN_ONLINE: found another URL; valid: sqlite:///FILE") as refused:
        open_online(url)
    assert "secret" not in str(refused.value)
