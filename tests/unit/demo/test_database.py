"""PostgreSQL from the wheel: made once, on loopback, behind a password, and whole again after any kill."""

import os
import subprocess
import time

import psutil
import pytest
import sqlalchemy

from evergreen.demo.database import database_url, make_cluster, make_databases, serve_cluster
from evergreen.demo.service import Service
from evergreen.demo.settings import free_port


@pytest.fixture
def server(tmp_path):
    (tmp_path / "logs").mkdir()
    make_cluster(tmp_path / "postgres", "secret")
    port = free_port(15_432 + os.getpid() % 10_000, set())
    service = Service("postgres", tmp_path, serve_cluster(tmp_path / "postgres", port), dict(os.environ), port)
    service.start()
    await_databases(service)
    yield service
    service.stop(kill=True)


def await_databases(service):
    deadline = time.monotonic() + 60
    while (lacking := make_databases(service.port, "secret")) is not None:
        service.revive()
        assert time.monotonic() < deadline, lacking
        time.sleep(0.05)


def ask(service, statement, password="secret"):
    engine = sqlalchemy.create_engine(database_url(service.port, password, "mlflow"), poolclass=sqlalchemy.NullPool)
    with engine.begin() as connection:
        found = connection.execute(sqlalchemy.text(statement))
        return found.all() if found.returns_rows else None


def test_it_is_nobody_elses(server, tmp_path):
    listened = {one.laddr.ip for one in psutil.Process(server.process.pid).net_connections() if one.status == "LISTEN"}
    assert listened == {"127.0.0.1"}
    assert (tmp_path / "postgres").stat().st_mode & 0o077 == 0
    with pytest.raises(sqlalchemy.exc.OperationalError, match="password authentication failed"):
        ask(server, "SELECT 1", password="guess")
    # It refuses root; whoever the tests run as, it does not run as that.
    assert psutil.Process(server.process.pid).uids().effective != 0


def test_what_was_committed_is_there_after_everything_was_killed(server):
    ask(server, "CREATE TABLE versions AS SELECT 7 AS version")
    family = [psutil.Process(server.process.pid), *psutil.Process(server.process.pid).children(recursive=True)]
    for member in family:
        member.kill()
    await_databases(server)
    assert ask(server, "SELECT version FROM versions") == [(7,)]


def test_the_number_that_a_killed_server_left_may_be_anybodys(server, tmp_path):
    lock, user = tmp_path / "postgres" / "postmaster.pid", psutil.Process(server.process.pid).uids().effective
    left = lock.read_text().splitlines()
    server.stop()
    with subprocess.Popen(["/bin/sleep", "60"], cwd="/", user=user if os.geteuid() == 0 else None) as other:
        lock.write_text("\n".join([str(other.pid), *left[1:]]))
        make_cluster(tmp_path / "postgres", "secret")
        server.start()
        await_databases(server)
        assert server.deaths == 0
        other.kill()


def test_a_folder_that_was_cut_off_while_it_was_made_is_made_anew(tmp_path):
    half = tmp_path / "postgres.half"
    half.mkdir()
    (half / "PG_VERSION").write_text("18")
    make_cluster(tmp_path / "postgres", "secret")
    assert (tmp_path / "postgres" / "global" / "pg_control").exists()
    before = (tmp_path / "postgres" / "PG_VERSION").stat().st_mtime_ns
    make_cluster(tmp_path / "postgres", "secret")
    assert (tmp_path / "postgres" / "PG_VERSION").stat().st_mtime_ns == before
