"""Commands for the service's machine act on the right data directory, and name it."""

import http.server
import json
import os
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from asgard_async.config.data_directory import DataDirectory
from tests.support.preloaded_command import asgard
from tests.support.service import Service, free_port

COMMANDS = (
    ("token", "list"),
    ("token", "create"),
    ("token", "revoke", "x"),
    ("env", "list"),
    ("env", "prune"),
    ("env", "build", "-r", "x"),
    ("db", "migrate"),
    ("gc",),
)


@pytest.mark.parametrize("command", [*COMMANDS, ("db", "backup", "copy")])
def test_a_directory_that_does_not_exist_is_refused(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    missing = tmp_path / "missing"
    done = asgard(*command, "--data-dir", missing)
    assert done.returncode == 1
    assert f"Data directory: {missing} (command line)\n" in done.stderr
    assert f"There is no data directory {missing}; " in done.stderr
    assert ("--create" in done.stderr) == (command[:2] in {("token", "create"), ("env", "build")})
    assert not missing.exists()


def test_create_makes_the_directory(tmp_path: Path) -> None:
    data = tmp_path / "new"
    done = asgard("token", "create", "--create", "--data-dir", data)
    assert (done.returncode, done.stdout.startswith("asgard_")) == (0, True)
    done = asgard("token", "list", ASGARD_DATA_DIR=str(data))
    assert done.returncode == 0
    assert done.stderr == f"Data directory: {data} (ASGARD_DATA_DIR)\n"


@pytest.mark.service
async def test_a_running_service_names_its_directory(service: Service) -> None:
    for url in (service.url, service.url.replace("127.0.0.1", "localhost")):
        done = asgard("token", "list", ASGARD_URL=url)
        assert (done.returncode, done.stderr) == (
            0,
            f"Data directory: {service.data_dir} (ASGARD_URL)\n",
        )
    done = asgard("doctor", "--json", ASGARD_URL=service.url)
    found = {one["about"]: one["found"] for one in json.loads(done.stdout)}
    assert found["data directory"] == str(service.data_dir)
    assert found["service"] == f"accepts jobs at {service.url}"
    _, ready = await service.get("/health/ready")
    assert ready["data_dir"] == str(service.data_dir)
    assert ready["instance"] == DataDirectory(root=service.data_dir).instance.read_text().strip()
    for header in ("X-Forwarded-For", "Via"):  # a proxy of the same user
        _, ready = await service.get("/health/ready", headers={header: "192.0.2.1"})
        assert not ready.keys() & {"data_dir", "instance"}


@pytest.mark.service
async def test_an_explicit_directory_comes_first(service: Service, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    done = asgard("token", "list", ASGARD_URL=service.url, ASGARD_DATA_DIR=str(tmp_path / "other"))
    assert done.stderr == f"Data directory: {tmp_path / 'other'} (ASGARD_DATA_DIR)\n"


def test_an_address_without_a_service_is_refused() -> None:
    done = asgard("token", "list", ASGARD_URL=f"http://127.0.0.1:{free_port()}")
    assert done.returncode == 1
    assert "No service answers at ASGARD_URL" in done.stderr


@contextmanager
def impostor(document: dict[str, str]) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(document).encode())

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.mark.service
async def test_another_program_cannot_name_a_directory(service: Service, tmp_path: Path) -> None:
    instance = DataDirectory(root=service.data_dir).instance.read_text().strip()
    copy = DataDirectory(root=tmp_path / "copy").make()
    copy.instance.write_text(instance)  # no service uses it
    for document, message in (
        ({"data_dir": str(service.data_dir), "instance": "0" * 32}, "is not its own"),
        ({"data_dir": str(copy.root), "instance": instance}, "is not its own"),
        ({"data_dir": str(tmp_path / "none"), "instance": instance}, "is not its own"),
        ({"status": "ready"}, "does not tell its data directory"),
    ):
        with impostor(document) as url:
            done = asgard("token", "create", ASGARD_URL=url)
        assert (done.returncode, message in done.stderr) == (1, True), done.stderr
        assert done.stdout == ""


def ready_as(uid: int, url: str) -> Any:
    """The response of /health/ready to another user."""
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        try:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            with urllib.request.urlopen(f"{url}/health/ready", timeout=20) as response:
                os.write(writer, response.read())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        document = json.loads(pipe.read())
    os.waitpid(child, 0)
    return document


@pytest.mark.service
@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
async def test_another_user_is_not_told_the_directory(service: Service) -> None:
    document = ready_as(12345, service.url)
    assert document["status"] == "ready"
    assert not document.keys() & {"data_dir", "instance"}
