"""`asgard serve` reports in one line why it cannot start."""

import asyncio
import os
import signal
import socket
import sqlite3
import sys
from pathlib import Path

import pytest

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
        refused(tmp_path, "address already in use", "--port", str(unused_tcp_port))


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


def refused(data_dir: Path, reason: str, *arguments: str) -> None:
    done = asgard(
        "serve",
        "--port",
        "0",
        "--data-dir",
        data_dir,
        *arguments,
        ASGARD_MLFLOW__TRACKING_URI=NOWHERE,
    )
    assert done.returncode == 1
    assert reason in done.stderr
    assert "Traceback" not in done.stderr
