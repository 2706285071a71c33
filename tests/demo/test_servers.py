import os
import signal
from pathlib import Path

import dj_database_url
import psycopg
import pytest
import redis

from demo.processes import ProcessFailed, words_of
from demo.servers import PostgreSQL, Valkey


@pytest.fixture
def postgres(tmp_path: Path):
    server = PostgreSQL(tmp_path / "postgres", {"fsync": "off"})
    yield server
    server.remove()


@pytest.fixture
def valkey(tmp_path: Path):
    server = Valkey(tmp_path / "valkey")
    yield server
    server.remove()


def client_of(valkey: Valkey) -> redis.Redis:
    return redis.Redis.from_url(valkey.url.replace("redis+socket", "unix").replace("virtual_host", "db"))


def test_postgresql_keeps_its_data_over_a_restart(postgres):
    postgres.start()
    with psycopg.connect(postgres.url) as pg:
        pg.execute("CREATE TABLE kept AS SELECT 1 AS one")
    postgres.stop()

    postgres.start()

    with psycopg.connect(postgres.url) as pg:
        assert pg.execute("SELECT one FROM kept").fetchone() == (1,)


def test_postgresql_wants_a_password_and_listens_to_nobody_else(postgres):
    postgres.start()
    with psycopg.connect(postgres.url) as pg:
        assert pg.execute("SHOW listen_addresses").fetchone() == ("",)
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(host=str(postgres.sockets), user="postgres", password="wrong")
    assert postgres.sockets.stat().st_mode & 0o777 == 0o700


def test_django_reads_the_address(postgres):
    postgres.start()
    settings = dj_database_url.parse(postgres.url)
    assert (settings["HOST"], settings["USER"]) == (str(postgres.sockets), "postgres")


def test_postgresql_recovers_after_everything_was_killed(postgres, tmp_path):
    postgres.start()
    os.killpg(postgres.process.pid, signal.SIGKILL)

    later = PostgreSQL(tmp_path / "postgres")
    postgres.process.stop()
    later.start()
    psycopg.connect(later.url).close()
    later.stop()


def test_a_lock_with_somebody_elses_process_number_does_not_matter(postgres):
    postgres.start()
    postgres.stop()
    (postgres.data / "postmaster.pid").write_text(f"{os.getpid()}\n{postgres.data}\n0\n5432\n{postgres.sockets}\n\n")

    postgres.start()

    psycopg.connect(postgres.url).close()


def test_a_living_leftover_is_replaced(postgres, tmp_path):
    postgres.start()
    abandoned = postgres.process.pid

    later = PostgreSQL(tmp_path / "postgres")
    later.start()

    assert words_of(abandoned) == [b""]
    later.stop()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become nobody")
def test_postgresql_runs_as_nobody_where_user_namespaces_are_forbidden(tmp_path):
    server = PostgreSQL(tmp_path / "postgres", as_nobody=True)
    try:
        server.start()
        assert Path(f"/proc/{server.process.pid}").stat().st_uid == 65534
        psycopg.connect(server.url).close()
    finally:
        server.remove()
    assert not server.data.exists()


def test_a_server_that_cannot_start_says_why(tmp_path):
    server = PostgreSQL(tmp_path / "postgres", {"no_such_setting": "on"})
    try:
        with pytest.raises(ProcessFailed, match="no_such_setting"):
            server.start()
    finally:
        server.remove()


def test_valkey_wants_a_password_and_keeps_what_it_was_told(valkey, tmp_path):
    valkey.start()
    client_of(valkey).set("key", "value")
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(unix_socket_path=str(valkey.sockets / "valkey.sock")).ping()
    os.kill(valkey.process.pid, signal.SIGTERM)

    later = Valkey(tmp_path / "valkey")
    later.start()

    assert client_of(later).get("key") == b"value"
    later.stop()


def test_a_living_valkey_is_replaced(valkey, tmp_path):
    valkey.start()
    abandoned = valkey.process.pid

    later = Valkey(tmp_path / "valkey")
    later.start()

    assert words_of(abandoned) == [b""]
    assert client_of(later).ping()
    later.stop()
