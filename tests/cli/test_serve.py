"""`asgard serve` reports in one line why it cannot start."""

import asyncio
import os
import signal
import socket
import sqlite3
import sys
from pathlib import Path

import pytest

from asgard_async.config import ConfigError
from asgard_async.config.data_directory import DataDirectory
from tests.support.asgard_command import asgard
from tests.support.eventually import eventually
from tests.support.service import NOWHERE, WITHOUT_MLFLOW, Service

pytestmark = pytest.mark.service


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "asgard.example.org"])  # noqa: S104  # refused
def test_a_public_address_without_tokens_is_refused(tmp_path: Path, host: str) -> None:
    done = asgard("serve", "--host", host, "--data-dir", tmp_path / "data")
    assert done.returncode == 1
    assert f"[server] host: {host} is not a loopback address" in done.stderr
    assert not (tmp_path / "data").exists()


def test_an_impossible_data_directory_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused(tmp_path / "file" / "data", "Cannot create the data directory")


def test_a_renamed_section_is_logged_as_a_warning(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = asgard("serve", "--data-dir", tmp_path / "file", ASGARD_EDGES__IDLE_SECONDS="9")
    assert done.returncode == 1
    assert "ASGARD_EDGES__IDLE_SECONDS: [edges] is now [http]; use ASGARD_HTTP" in done.stderr


def test_a_newer_database_stops_the_start(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "asgard.db") as connection:
        connection.execute("PRAGMA user_version = 9999")
    connection.close()
    refused(tmp_path, "the database has schema 9999")


def test_a_file_that_is_not_a_database_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "asgard.db").write_text("no database at all\n" * 100)
    refused(tmp_path, "asgard.db: file is not a database")


def test_a_port_in_use_stops_the_start(tmp_path: Path, unused_tcp_port: int) -> None:
    with socket.create_server(("127.0.0.1", unused_tcp_port)):
        program = Path("/proc/self/comm").read_text().strip()
        holder = f"{program} (pid {os.getpid()}, uid {os.geteuid()})"
        data, port = tmp_path / "new" / "data", str(unused_tcp_port)
        for embedded in ("", NOWHERE):
            message = refused(data, f"address already in use by {holder};", port, mlflow=embedded)
            assert message.startswith(f"Error: Cannot listen on 127.0.0.1, port {port}: ")
            assert not (tmp_path / "new").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_a_hidden_holder_of_the_port_is_named_by_user(tmp_path: Path, unused_tcp_port: int) -> None:
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, 12345, 12345)
    for path in (tmp_path, *tmp_path.parents):
        if path.stat().st_mode & 0o001 == 0:
            pytest.skip("the directory is private")
    with socket.create_server(("127.0.0.1", unused_tcp_port)):
        done = asgard("serve", "--port", str(unused_tcp_port), "--data-dir", home / "data")
    if "cannot run" not in done.stderr:
        assert "already in use by a process of uid 0;" in done.stderr


def test_a_failed_start_leaves_only_what_was_there(tmp_path: Path, unused_tcp_port: int) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "tokens.json").write_text("[]")
    with socket.create_server(("127.0.0.1", unused_tcp_port)):
        refused(tmp_path, "already in use", str(unused_tcp_port))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "tokens.json"]
    newer = tmp_path / "newer"
    newer.mkdir()
    with sqlite3.connect(newer / "asgard.db") as connection:
        connection.execute("PRAGMA user_version = 9999")
    connection.close()
    refused(newer, "the database has schema 9999")
    assert [path.name for path in newer.iterdir()] == ["asgard.db"]


def test_a_lock_whose_file_is_removed_is_taken_again(tmp_path: Path) -> None:
    data = DataDirectory(root=tmp_path)
    descriptor = data.lock()
    data.service_lock.unlink()
    again = data.lock()  # of a new file
    with pytest.raises(ConfigError, match="Another Asgard service uses"):
        data.lock()
    os.close(descriptor)
    os.close(again)


def test_a_failed_start_exits_despite_open_resources(tmp_path: Path) -> None:
    (tmp_path / "mlflow-server" / "server.json").mkdir(parents=True)
    done = asgard("serve", "--port", "0", "--data-dir", tmp_path)
    assert done.returncode == 1
    assert "Is a directory" in done.stderr


@pytest.mark.service
async def test_closing_the_terminal_stops_it_like_sigterm(service: Service) -> None:
    assert await service.end(signal.SIGHUP) == 0
    assert "stopping" in service.log.read_text()


@pytest.mark.service
async def test_standard_descriptors_are_never_reused(tmp_path: Path) -> None:
    service = Service(tmp_path / "data", WITHOUT_MLFLOW)
    service._process = await asyncio.create_subprocess_exec(
        *("sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"),
        *(sys.executable, "-m", "asgard_async", "serve"),
        *("--port", str(service.port), "--data-dir", str(service.data_dir)),
        env=os.environ | service.settings,
    )
    try:
        await eventually(service.is_live, what="service is live")
        for number in range(3):
            assert Path(f"/proc/{service.pid}/fd/{number}").readlink() == Path(os.devnull)
        assert (await service.finished(await service.submit("print('x')")))["logs"] == "x\n"
    finally:
        await service.close()


def refused(data_dir: Path, reason: str, port: str = "0", *, mlflow: str = NOWHERE) -> str:
    settings = {"ASGARD_MLFLOW__TRACKING_URI": mlflow}
    done = asgard("serve", "--port", port, "--data-dir", data_dir, **settings)
    assert done.returncode == 1
    assert reason in done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1]
