"""A data version's files, with their hashes, as they lie; and the file by which DVC tracks them."""

import hashlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from evergreen.cli import cli
from evergreen.errors import Refused
from evergreen.records import DataRecord
from evergreen.storage.data_files import find_data, list_files, write_dvc
from tests.unit.small_loop import SmallLoop, day


@pytest.fixture(scope="module")
def loop(tmp_path_factory):
    return SmallLoop.begun(tmp_path_factory.mktemp("lived"), 2, retrain={"any": ["never"]})


@pytest.fixture
def data(loop):
    return loop.stores.ledger.require(DataRecord, loop.promotions[-1].data)


def test_each_partition_has_its_files_and_they_are_what_is_said(loop, data):
    files = list(list_files(loop.stores, data))
    assert {Path(one.uri).parts[-4:-1] for one in files} == {
        (part.table, f"batch={part.batch}", f"revision={part.revision}") for part in data.partitions
    }
    for one in files:
        content = Path(one.uri).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (one.size, one.sha256)
        assert hashlib.md5(content, usedforsecurity=False).hexdigest() == one.md5


def test_a_dvc_file_names_them_from_where_it_lies(loop, data, tmp_path):
    files = list(list_files(loop.stores, data))
    home = Path(loop.at.landing).parent
    write_dvc(home / "data.dvc", files)
    outs = yaml.safe_load((home / "data.dvc").read_text())["outs"]
    assert [(home / out["path"]).read_bytes() for out in outs] == [Path(one.uri).read_bytes() for one in files]
    assert outs[0] == {"md5": files[0].md5, "size": files[0].size, "hash": "md5", "path": outs[0]["path"]}
    with pytest.raises(Refused, match="write it above the lake"):
        write_dvc(tmp_path / "data.dvc", files)
    with pytest.raises(Refused, match="expected a lake in a folder"):
        write_dvc(home / "data.dvc", [replace(files[0], uri="s3://lake/a.parquet")])


def test_the_command_takes_a_hash_or_the_number_of_a_version(loop, data, monkeypatch):
    home = Path(loop.at.landing).parent
    monkeypatch.setenv("EVERGREEN_HOME", str(home))
    monkeypatch.setenv("EVERGREEN_MODELS", str(home / "models"))
    told = CliRunner().invoke(
        cli, ["data", "small", str(loop.promotions[-1].version), "--files"], catch_exceptions=False
    )
    assert told.exit_code == 0
    by_hash = CliRunner().invoke(cli, ["data", "small", data.id], catch_exceptions=False)
    assert f"clean {day(1)}, revision 0: content " in by_hash.output
    with pytest.raises(Refused, match=r"no data version '\.\./x'"):
        find_data(loop.stores, "../x")


@pytest.mark.long
def test_the_real_dvc_takes_it_as_its_own(loop, data, tmp_path):
    """In an environment of its own: DVC holds down packages that Airflow needs newer."""
    place = Path(loop.at.landing).parent
    uv = Path(sys.executable).with_name("uv")
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, tmp_path / "env"], check=True)
    subprocess.run(
        [uv, "pip", "install", "--quiet", "--python", tmp_path / "env" / "bin" / "python", "dvc"], check=True
    )

    def dvc(*arguments):
        done = subprocess.run([tmp_path / "env" / "bin" / "dvc", *arguments], cwd=place, capture_output=True, text=True)
        return done.stdout + done.stderr

    dvc("init", "--no-scm")
    write_dvc(place / "data.dvc", list(list_files(loop.stores, data)))
    # Nothing has changed but that its cache has no copy yet, which `commit` makes.
    assert "modified" not in dvc("status", "data.dvc")
    dvc("commit", "--force", "data.dvc")
    assert "up to date" in dvc("status", "data.dvc")
    (file,) = [Path(one.uri) for one in list_files(loop.stores, data)][:1]
    whole = file.read_bytes()
    file.chmod(0o644)
    file.write_bytes(whole + b"x")
    try:
        assert "modified" in dvc("status", "data.dvc")
    finally:
        file.write_bytes(whole)
