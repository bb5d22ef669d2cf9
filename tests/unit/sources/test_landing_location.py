"""Landing locations: a folder and a bucket answer alike."""

import os
import tempfile
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import boto3
import obstore
import pytest

from evergreen.config.feeds_config import FilesConfig
from evergreen.config.limits_config import DEFAULT_LIMITS
from evergreen.errors import FileRefused, NotReady, Outage
from evergreen.sources.landing import LandedFile, list_files, probe_files, read_file
from evergreen.sources.landing_location import Folder, open_landing_location
from evergreen.storage.objects import open_store
from tests.s3 import s3, speaking_to
from tests.unit.sources.test_landing import DAY, DAYS, FILE, PATTERN


@pytest.fixture(scope="module")
def server():
    with s3() as environment:
        yield environment


@pytest.fixture(params=["folder", "s3"])
def location(request, server, tmp_path):
    """Where files land, and how to put one there."""
    if request.param == "folder":

        def put(name, content=b"a\n1\n"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(content)

        yield str(tmp_path), put
        return
    with speaking_to(server):
        uri = f"s3://evergreen/{tmp_path.name}"
        yield uri, lambda name, content=b"a\n1\n": obstore.put(open_store(uri), name, content)


def test_names_below_a_location_are_listed_by_batch(location):
    where, put = location
    for name in ("2024-01-02/part1.csv", "2024-01-02/part 0+.csv", "2024-01-03/part0.csv", "2024-01-03/_SUCCESS"):
        put(name)
    assert list_files(where, FilesConfig(files="{batch:%Y-%m-%d}/part*.csv"), DAYS) == {
        "2024-01-02": ["2024-01-02/part 0+.csv", "2024-01-02/part1.csv"],
        "2024-01-03": ["2024-01-03/part0.csv"],
    }


def test_a_marker_completes_a_batch(location):
    where, put = location
    files = FilesConfig(files=PATTERN, complete={"marker": "t_{batch:%Y-%m-%d}.done"})
    put(FILE)
    assert not probe_files(where, files, DAYS, DAY, None).complete
    put("t_2024-01-02.done", b"")
    assert probe_files(where, files, DAYS, DAY, None).complete


def test_sizes_must_be_seen_twice(location):
    where, put = location
    files = FilesConfig(files=PATTERN)
    put(FILE)
    first = probe_files(where, files, DAYS, DAY, None)
    put(FILE, b"a\n1\n2\n")
    second = probe_files(where, files, DAYS, DAY, first)
    assert (first.complete, second.complete) == (False, False)
    assert probe_files(where, files, DAYS, DAY, second).complete


def test_a_file_is_read_as_it_lies_there(location):
    where, put = location
    put(FILE, b"a\r\n\xff\n")
    assert read_file(where, FILE, DEFAULT_LIMITS).content == b"a\r\n\xff\n"


def test_an_empty_location_has_no_files(location):
    where, _ = location
    assert probe_files(where, FilesConfig(files=PATTERN), DAYS, DAY, None).sizes == ()


def test_an_object_that_is_gone_is_named(server):
    with speaking_to(server), pytest.raises(NotReady, match=r"s3://evergreen/gone/t\.csv is gone"):
        read_file("s3://evergreen/gone", "t.csv", DEFAULT_LIMITS)


def test_a_bucket_that_is_not_there_is_an_outage_that_names_it(server):
    with speaking_to(server), pytest.raises(Outage, match="s3://no-such-bucket/in"):
        list_files("s3://no-such-bucket/in", FilesConfig(files=PATTERN), DAYS)


def test_a_folder_may_be_a_uri(tmp_path):
    assert isinstance(open_landing_location(tmp_path.as_uri()), Folder)
    (tmp_path / FILE).write_text("a\n")
    assert list_files(tmp_path.as_uri(), FilesConfig(files=PATTERN), DAYS) == {DAY: [FILE]}


def test_a_landing_folder_may_be_a_link_and_hold_links_to_its_own_files(tmp_path):
    (tmp_path / "real" / "in").mkdir(parents=True)
    (tmp_path / "real" / "in" / "whole").write_bytes(b"a\n")
    (tmp_path / "real" / FILE).symlink_to("in/whole")
    (tmp_path / "landing").symlink_to("real")
    assert read_file(tmp_path / "landing", FILE, DEFAULT_LIMITS) == LandedFile(FILE, b"a\n")


def _outside(path, folder):
    (folder / "secret").write_text("token")
    path.symlink_to(folder / "secret")


IRREGULAR = {
    "leads out of": _outside,
    "a link that leads nowhere": lambda path, folder: path.symlink_to("nowhere"),
    "no regular file": lambda path, folder: os.mkfifo(path),
    "no regular file; expected": lambda path, folder: path.symlink_to(path),
    "is a link that leads out": lambda path, folder: path.symlink_to("/dev/zero"),
}


@pytest.mark.parametrize("told", IRREGULAR)
def test_what_is_no_regular_file_in_the_folder_is_refused_unread(told, tmp_path):
    landing = tmp_path / "landing"
    landing.mkdir()
    IRREGULAR[told](landing / FILE, tmp_path)
    assert [name for name, _ in probe_files(landing, FilesConfig(files=PATTERN), DAYS, DAY, None).sizes] == [FILE]
    landed = read_file(landing, FILE, DEFAULT_LIMITS)
    assert (landed.name, landed.content) == (FILE, b"")
    assert told in landed.refused


def test_a_folder_that_becomes_a_link_leads_nobody_out(tmp_path, monkeypatch):
    """The link is laid after the path was resolved, when only the steps themselves can tell."""
    (tmp_path / "landing" / "in").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    for folder in ("landing/in", "elsewhere"):
        (tmp_path / folder / FILE).write_text("a\n")
    resolve = os.path.realpath

    def swap(path, **kwargs):
        resolved = resolve(path, **kwargs)
        if str(path).endswith(FILE):
            (tmp_path / "landing" / "in").rename(tmp_path / "landing" / "was")
            (tmp_path / "landing" / "in").symlink_to(tmp_path / "elsewhere")
        return resolved

    monkeypatch.setattr(os.path, "realpath", swap)
    with pytest.raises(Outage, match="did not answer"):
        read_file(tmp_path / "landing", f"in/{FILE}", DEFAULT_LIMITS)


UNREADABLE = {
    "cannot be read: Not a directory": lambda path: path.write_text("a file in its place"),
    "cannot be read: Too many levels of symbolic links": lambda path: path.symlink_to(path),
    "is not there; mount it": lambda path: None,
    "is not there": lambda path: path.symlink_to("not mounted"),
}


@pytest.mark.parametrize("told", UNREADABLE)
def test_a_folder_that_cannot_be_listed_is_an_outage_and_not_empty(told, tmp_path):
    landing = tmp_path / "landing"
    UNREADABLE[told](landing)
    with pytest.raises(Outage, match=f"landing folder {landing} {told}"):
        list_files(landing, FilesConfig(files=PATTERN), DAYS)


@contextmanager
def _as_nobody():
    """What a worker that is not root may read."""
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody who may not read")
def test_a_folder_that_may_not_be_read_is_an_outage_but_for_folders_that_are_none_of_ours():
    files = FilesConfig(files="{batch:%Y-%m-%d}/part*.csv")
    # Not below pytest's own folder, which is root's.
    with tempfile.TemporaryDirectory() as place:
        landing = Path(place)
        landing.chmod(0o755)
        for name in ("2024-01-02", "lost+found"):
            (landing / name).mkdir()
            (landing / name / "part0.csv").touch()
        (landing / "lost+found").chmod(0)
        with _as_nobody():
            assert list_files(landing, files, DAYS) == {DAY: ["2024-01-02/part0.csv"]}
        (landing / "2024-01-02" / "part0.csv").chmod(0)
        with _as_nobody(), pytest.raises(Outage, match=r"part0\.csv did not answer: .*Permission denied"):
            read_file(landing, "2024-01-02/part0.csv", DEFAULT_LIMITS)
        (landing / "2024-01-02").chmod(0)
        with _as_nobody(), pytest.raises(Outage, match="2024-01-02 cannot be read: Permission denied"):
            list_files(landing, files, DAYS)
        landing.chmod(0)
        with _as_nobody(), pytest.raises(Outage, match=f"landing folder {place} cannot be read: Permission denied"):
            list_files(landing, files, DAYS)


def test_a_bucket_that_may_not_be_read_is_an_outage(monkeypatch):
    class Forbidding(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(403)

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Forbidding)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    for name, value in (("ALLOW_HTTP", "true"), ("ACCESS_KEY_ID", "x"), ("SECRET_ACCESS_KEY", "x"), ("REGION", "x")):
        monkeypatch.setenv(f"AWS_{name}", value)
    with pytest.raises(Outage, match=r"s3://forbidden/in did not answer"):
        probe_files("s3://forbidden/in", FilesConfig(files=PATTERN), DAYS, DAY, None)
    server.shutdown()


# What each is called, so that it can be written and told from every other.
ODD = {
    b"t_2024-01-02 a\nb.csv": r"t_2024-01-02 a\x0ab.csv",
    b"t_2024-01-02\xff\xe9.csv": r"t_2024-01-02\xff\xe9.csv",
    rb"t_2024-01-02\xff.csv": r"t_2024-01-02\x5cxff.csv",
    b"t_2024-01-02\x1b[31m\x7f\t.csv": r"t_2024-01-02\x1b[31m\x7f\x09.csv",
    rb"t_2024-01-02 b\ack\xzz.csv": r"t_2024-01-02 b\ack\xzz.csv",
    "t_2024-01-02 é高%20#1?.csv".encode(): "t_2024-01-02 é高%20#1?.csv",
    b"t_2024-01-02" + b"x" * 239 + b".csv": f"t_2024-01-02{'x' * 239}.csv",
}


def test_a_file_may_have_any_name_and_is_called_by_one_that_can_be_written(tmp_path):
    for number, name in enumerate(ODD):
        (tmp_path / os.fsdecode(name)).write_bytes(b"x" * number)
    probe = probe_files(tmp_path, FilesConfig(files=PATTERN), DAYS, DAY, None)
    assert dict(probe.sizes) == {told: number for number, told in enumerate(ODD.values())}
    for told, size in probe.sizes:
        assert told.isprintable()
        assert read_file(tmp_path, told, DEFAULT_LIMITS) == LandedFile(told, b"x" * size)


def test_a_marker_beside_a_file_is_found_in_whatever_folder(tmp_path):
    folder = tmp_path / os.fsdecode(b"2024-01-02\xff\n")
    folder.mkdir()
    (folder / "part0.csv").touch()
    (folder / "_SUCCESS").touch()
    files = FilesConfig(files="{batch:%Y-%m-%d}*/part*.csv", complete={"marker": "_SUCCESS"})
    assert probe_files(tmp_path, files, DAYS, DAY, None).complete


def test_an_object_whose_name_no_path_can_have_is_no_outage(server):
    with speaking_to(server):
        client = boto3.client("s3", endpoint_url=server["AWS_ENDPOINT_URL"], region_name="eu-central-1")
        client.put_object(Bucket="evergreen", Key="odd/t//x.csv", Body=b"")
        with pytest.raises(FileRefused, match=r"s3://evergreen/odd: .*odd/t//x\.csv.*; rename that object"):
            list_files("s3://evergreen/odd", FilesConfig(files=PATTERN), DAYS)
