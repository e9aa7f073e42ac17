"""No job can bind the ports of the service or of MLflow, whatever happens to the service."""

import asyncio
import json
import os
import signal
import socket
import sys
from functools import partial
from pathlib import Path

import pytest

from asgard_async.auth.token import Scope
from asgard_async.auth.token_file import TokenFile
from asgard_async.client import AsyncAsgardClient
from asgard_async.config.data_directory import DataDirectory
from asgard_async.core.timestamps import now
from tests.support.eventually import eventually
from tests.support.processes import processes_with
from tests.support.service import STOPPED, UNCONFINED, WITHOUT_MLFLOW, Service, running_service
from tests.support.service_users import launcher_for_ordinary_user

pytestmark = pytest.mark.service

BINDS = """
import errno, json, os, socket, sys, time
port, go, done = int(sys.argv[1]), sys.argv[2], sys.argv[3]
print("waiting", flush=True)
while not os.path.exists(go):
    time.sleep(0.01)
bound = []
kept = []
for host in ("127.0.0.1", "::1", "0.0.0.0", "::", "::ffff:127.0.0.1"):
    for option in (None, socket.SO_REUSEADDR, socket.SO_REUSEPORT):
        for only in (0, 1):
            sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
            if ":" in host:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only)
            if option:
                sock.setsockopt(socket.SOL_SOCKET, option, 1)
            try:
                sock.bind((host, port))
                sock.listen()
            except OSError as error:
                if error.errno not in (errno.EADDRINUSE, errno.EINVAL):
                    bound.append([host, option, only, error.errno])
            else:
                bound.append([host, option, only, 0])
            sock.close()
print("bound", json.dumps(bound), flush=True)
while not os.path.exists(done):
    time.sleep(0.01)
"""


ACTIVATES = """
import os, sys
for target, number in enumerate(sys.argv[1:3], 3):
    os.dup2(int(number), target)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="2")
os.execv(sys.argv[3], sys.argv[3:])
"""
SHOWS_DESCRIPTORS = """
import os
for number in os.listdir("/proc/self/fd"):
    try:
        print(os.readlink(f"/proc/self/fd/{number}"))
    except OSError:
        pass
"""


def binding(port: int, directory: Path, *, warm: bool = False) -> str:
    """A script that tries to bind a port once `go` exists, and ends once `done` exists."""
    arguments = ["", str(port), str(directory / "go"), str(directory / "done")]
    imports = "import idna\n" if warm else ""
    return f"import sys\nsys.argv = {arguments!r}\n{imports}{BINDS}"


async def bound_by(service: Service, job_id: str) -> list[object]:
    await service.says(job_id, "bound ")
    logs: str = (await service.job(job_id))["logs"]
    found: list[object] = json.loads(logs.split("bound ")[1].splitlines()[0])
    return found


def has_tried(log: Path) -> bool:
    return b"bound " in log.read_bytes()


def holder_of(service: Service) -> int:
    (pid,) = [
        pid
        for pid in processes_with(str(service.data_dir))
        if b"socket_holder" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    return pid


@pytest.mark.parametrize("user", ["root", "ordinary"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_jobs_cannot_bind_the_port_during_a_restart(
    tmp_path: Path, user: str, number: signal.Signals
) -> None:
    data = tmp_path / "data"
    launcher = launcher_for_ordinary_user(data) if user == "ordinary" else ()
    async with running_service(data, WITHOUT_MLFLOW, launcher) as service:
        await service.warm()
        jobs = [
            await service.submit(binding(service.port, tmp_path, warm=warm))
            for warm in (False, True)
        ]
        for job_id in jobs:
            await service.says(job_id, "waiting")
        await service.end(number)
        async with service.session.get(f"{service.url}/health/live") as response:
            assert response.status == 503
            assert (await response.json(content_type=None))["type"] == STOPPED
        (tmp_path / "go").touch()
        for job_id in jobs:
            log = service.data_dir / "jobs" / job_id / "job.log"
            await eventually(partial(has_tried, log), what="it has tried")
        await service.start()
        for job_id in jobs:
            assert await bound_by(service, job_id) == []
        (tmp_path / "done").touch()
        for job_id in jobs:
            assert (await service.finished(job_id))["status"] == "completed"
        assert await service.end() == 0
        assert processes_with(str(data)) == []


async def test_the_holder_ends_with_the_last_job(tmp_path: Path) -> None:
    async with running_service(tmp_path / "data", WITHOUT_MLFLOW) as service:
        job_id = await service.submit(binding(service.port, tmp_path))
        await service.says(job_id, "waiting")
        await service.kill()
        holder = holder_of(service)
        (tmp_path / "go").touch()
        (tmp_path / "done").touch()
        await eventually(lambda: not Path(f"/proc/{holder}").exists(), what="the holder has ended")
        with socket.create_server(("127.0.0.1", service.port)):
            pass


async def test_a_holder_that_was_killed_is_replaced(tmp_path: Path) -> None:
    async with running_service(tmp_path / "data", WITHOUT_MLFLOW) as service:
        first = holder_of(service)
        os.kill(first, signal.SIGKILL)

        def another() -> bool:
            pids = processes_with("socket_holder")
            return any(pid in processes_with(str(service.data_dir)) for pid in pids if pid != first)

        await eventually(another, what="another holder")
        job_id = await service.submit(binding(service.port, tmp_path))
        await service.says(job_id, "waiting")
        await service.kill()
        (tmp_path / "go").touch()
        await service.start()
        assert await bound_by(service, job_id) == []
        (tmp_path / "done").touch()
        await service.finished(job_id)


async def test_another_port_of_the_configuration_is_held(tmp_path: Path) -> None:
    async with running_service(tmp_path / "data", WITHOUT_MLFLOW) as service:
        job_id = await service.submit(binding(service.port, tmp_path))
        await service.says(job_id, "waiting")
        former = service.port
        await service.end()
        moved = Service(tmp_path / "data", WITHOUT_MLFLOW)
        try:
            await moved.start()
            with socket.create_server(("127.0.0.1", former)):
                pass
            with pytest.raises(OSError, match="in use"):
                socket.create_server(("::1", moved.port), family=socket.AF_INET6)
            (tmp_path / "go").touch()
            (tmp_path / "done").touch()
            await moved.finished(job_id)
        finally:
            await moved.close()


async def test_jobs_cannot_get_the_sockets_from_the_holder(tmp_path: Path) -> None:
    async with running_service(tmp_path / "data", WITHOUT_MLFLOW | UNCONFINED) as service:
        # the same user, who can even connect: without the service's lock there is no answer
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
            connection.settimeout(20)
            directory = os.open(service.data_dir, os.O_PATH)
            connection.connect(f"/proc/self/fd/{directory}/sockets.sock")
            os.close(directory)
            with (service.data_dir / "service.lock").open("rb") as lock:
                socket.send_fds(connection, [b"claim"], [lock.fileno()])
                assert await asyncio.to_thread(connection.recv, 100) == b""
        job_id = await service.submit(SHOWS_DESCRIPTORS)
        job = await service.finished(job_id)
        assert "socket" not in job["logs"]
        assert await service.responds()


async def test_systemd_passes_the_sockets(tmp_path: Path) -> None:
    service = Service(tmp_path / "data", WITHOUT_MLFLOW)
    sockets = [
        socket.create_server(("127.0.0.1", service.port)),
        socket.create_server(("::1", service.port), family=socket.AF_INET6),
    ]
    numbers = [sock.fileno() for sock in sockets]
    activation = (sys.executable, "-c", ACTIVATES, *map(str, numbers))
    log = service.log.open("ab")
    try:
        process = await asyncio.create_subprocess_exec(
            *activation,
            *service.command(),
            env=service.environment(),
            pass_fds=numbers,
            stdout=log,
            stderr=log,
        )
        service._process = process
        await eventually(service.is_live, what="service is live")
        script = "import os\nprint([name for name in os.environ if name.startswith('LISTEN_')])"
        assert (await service.finished(await service.submit(script)))["logs"] == "[]\n"
        # systemd holds them, so nothing else does
        assert processes_with("socket_holder") == [] or all(
            pid not in processes_with(str(service.data_dir))
            for pid in processes_with("socket_holder")
        )
        assert await service.end() == 0
        for sock in sockets:
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    finally:
        for sock in sockets:
            sock.close()
        log.close()
        await service.close()


async def test_a_client_with_a_token_waits_for_the_service(tmp_path: Path) -> None:
    async with running_service(tmp_path / "data", WITHOUT_MLFLOW) as service:
        tokens = TokenFile(DataDirectory(root=service.data_dir).tokens)
        secret = tokens.create(name=None, scope=Scope.ADMIN, at=now()).secret
        async with AsyncAsgardClient(service.url, token=secret, retry_for=60) as client:
            job = await client.submit(
                source=binding(service.port, tmp_path), experiment_name="e", model_name="m"
            )
            await service.kill()
            (tmp_path / "go").touch()
            (tmp_path / "done").touch()
            listing = asyncio.create_task(client.get(job))
            await service.start()
            assert (await listing).job_id == job.job_id
