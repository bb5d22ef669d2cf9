"""Object stores: a folder, and an S3 by keys of the environment or by a profile."""

import os
from pathlib import Path

import obstore
import pyarrow as pa
import pytest

from evergreen.records import Partition
from evergreen.storage.content import content_hash
from evergreen.storage.lake import Lake
from evergreen.storage.objects import delta_options, holds_anything, open_store, put_new
from tests.s3 import SECRET, objects, s3, speaking_to

ROWS = pa.table({"id": [1, 2], "value": ["a", "b"]})


@pytest.fixture(scope="module")
def server():
    with s3() as environment:
        yield environment


@pytest.fixture(params=["environment", "profile", "credentials file"])
def access(request, server, tmp_path, monkeypatch):
    """The three ways to say who one is."""
    for name in server:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    if request.param == "environment":
        with speaking_to(server):
            yield
        return
    place = f"region = eu-central-1\nendpoint_url = {server['AWS_ENDPOINT_URL']}\n"
    keys = f"aws_access_key_id = key\naws_secret_access_key = {SECRET}\n"
    in_config = request.param == "profile"
    (tmp_path / "config").write_text(f"[profile lake]\n{place}{keys if in_config else ''}")
    (tmp_path / "credentials").write_text("" if in_config else f"[lake]\n{keys}")
    profile = {
        "AWS_PROFILE": "lake",
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
    }
    with speaking_to(profile):
        yield


def test_records_and_tables_are_written_by_whoever_one_is(access, request):
    place = f"s3://evergreen/{request.node.callspec.id.replace(' ', '-')}"
    assert not holds_anything(f"{place}/ledger")
    put_new(f"{place}/ledger", "a.json", b"{}")
    assert holds_anything(f"{place}/ledger")
    with pytest.raises(obstore.exceptions.AlreadyExistsError):
        put_new(f"{place}/ledger", "a.json", b"{}")
    lake = Lake(place, "dev", "taxi")
    lake.replace("clean", "2024-01-01", 0, ROWS, {})
    partition = Partition(table="clean", batch="2024-01-01", revision=0, content=content_hash(ROWS))
    assert Lake(place, "dev", "taxi").read(partition, ["id"]).to_pylist() == ROWS.to_pylist()
    assert not [path for path, content in objects(place).items() if SECRET.encode() in content]


def test_keys_of_the_environment_win_over_a_profile(monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    assert delta_options("s3://evergreen/lake") == {"retry_timeout": "30s"}


def test_a_folder_needs_no_keys(monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    assert delta_options(str(tmp_path)) is None
    obstore.put(open_store(str(tmp_path)), "a", b"x")
    assert (tmp_path / "a").read_bytes() == b"x"


def test_a_folder_is_asked_without_being_made(tmp_path):
    assert not holds_anything(str(tmp_path / "lake"))
    assert not holds_anything((tmp_path / "lake").as_uri())
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "lake").mkdir()
    assert not holds_anything(str(tmp_path / "lake"))
    (tmp_path / "lake" / "a").touch()
    assert holds_anything((tmp_path / "lake").as_uri())


@pytest.fixture
def flushed(monkeypatch):
    """What was flushed to the disk, in order, each with what lay in the ledger then."""
    seen, fsync = [], os.fsync

    def noted(descriptor):
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        seen.append((path, [one.name for one in path.parent.glob("*.json")]))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    return seen


def test_a_record_has_its_name_only_once_it_is_on_the_disk(tmp_path, flushed):
    put_new(str(tmp_path), "claim/2024-01-01/0.json", b"{}")
    folder = tmp_path / "claim" / "2024-01-01"
    (content, named), *folders = flushed
    assert (content.parent, named) == (folder, [])
    assert {path for path, _ in folders} == {folder, folder.parent, tmp_path}
    with pytest.raises(obstore.exceptions.AlreadyExistsError):
        put_new(str(tmp_path), "claim/2024-01-01/0.json", b"other")
    assert [(one.name, one.read_bytes()) for one in folder.iterdir()] == [("0.json", b"{}")]
    (tmp_path / "plain").touch()
    assert (folder / "0.json").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_what_a_killed_process_left_is_no_record(tmp_path):
    (tmp_path / "0.json#123").write_bytes(b"{")
    assert list(obstore.list(open_store(str(tmp_path)))) == []
    put_new(str(tmp_path), "0.json", b"{}")
    assert (tmp_path / "0.json").read_bytes() == b"{}"


def test_rows_and_raw_files_are_on_the_disk_before_a_record_names_them(tmp_path, flushed):
    lake = Lake(str(tmp_path), "dev", "taxi")
    lake.put_raw("rows/2024-01-01T05/[a].csv", b"a")
    assert tmp_path / "raw/dev/taxi/rows/2024-01-01T05/[a].csv" in [path for path, _ in flushed]
    lake.replace("clean", "2024-01-01T05:30", 0, ROWS, {})
    assert {path.suffix for path, _ in flushed} >= {".parquet", ".json"}
