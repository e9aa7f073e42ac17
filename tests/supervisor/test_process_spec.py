"""The factory of process specifications: its defaults, and that the shim reads them back."""

import os
import socket
import subprocess
import sys
from pathlib import Path

from asgard_async.domain.attempt import End
from asgard_async.domain.status import ColdReason, Isolation
from asgard_async.supervisor.attempt import Attempt
from asgard_async.supervisor.process_spec import process_spec, service_python
from asgard_async.supervisor.shim.process_spec import encode_spec, read_spec


def test_the_shim_reads_the_specification_of_the_service(tmp_path: Path) -> None:
    spec = process_spec(
        directory=tmp_path,
        argv=["/bin/true"],
        log=tmp_path / "log",
        working_directory=tmp_path,
        locks=[tmp_path / "lock"],
        isolation=Isolation.SANDBOX,
        cold_reason=ColdReason.OFF,
    )
    (tmp_path / "spec").write_bytes(encode_spec(spec))
    descriptor = os.open(tmp_path / "spec", os.O_RDONLY)
    try:
        assert read_spec(descriptor) == spec
    finally:
        os.close(descriptor)


def test_optional_parts_are_absent_unless_given(tmp_path: Path) -> None:
    spec = process_spec(
        directory=tmp_path, argv=[], log=tmp_path / "log", working_directory=tmp_path
    )
    assert not {"cold_reason", "isolation", "sandbox", "limits"} & spec.keys()
    assert (spec["timeout"], spec["memory_limit"], spec["held"], spec["inherit"]) == (0, 0, [], [])


async def test_a_process_runs_with_the_defaults(tmp_path: Path) -> None:
    attempt = tmp_path / "1"
    attempt.mkdir()
    script = "import os; print(oct(os.umask(0)), sorted(os.environ))"
    spec = process_spec(
        directory=attempt,
        argv=service_python("-c", script),
        log=tmp_path / "log",
        working_directory=tmp_path,
    )
    await Attempt(attempt).start(spec)
    ended = await Attempt(attempt).wait()
    assert (ended.end, ended.exit_code) == (End.EXITED, 0)
    assert (tmp_path / "log").read_text() == "0o77 ['LANG', 'PATH']\n"


async def test_a_process_inherits_a_listening_socket(tmp_path: Path) -> None:
    attempt = tmp_path / "1"
    attempt.mkdir()
    script = """
import socket, sys
connection, _ = socket.socket(fileno=int(sys.argv[1])).accept()
connection.sendall(b"hello")
"""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        spec = process_spec(
            directory=attempt,
            argv=service_python("-c", script, str(listener.fileno())),
            log=tmp_path / "log",
            working_directory=tmp_path,
            inherit=[listener.fileno()],
        )
        address = listener.getsockname()
        await Attempt(attempt).start(spec)
    with socket.create_connection(address) as client:
        assert client.recv(100) == b"hello"
    assert (await Attempt(attempt).wait()).exit_code == 0


def test_the_service_python_sees_no_installed_package() -> None:
    script = "import importlib.util as u, sys; print(u.find_spec('msgspec'), sys.flags.isolated)"
    done = subprocess.run(
        service_python("-c", script), capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout == "None 1\n"
    assert service_python("-c")[0] == sys.executable
