"""Servers for tests: a real MLflow, a relay in front of it, and handlers that misbehave."""

import asyncio
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import aiohttp
from aiohttp import web

from tests.support.service import free_port

ROOT = Path(__file__).parents[2]
START_SECONDS = 120.0
STOP_SECONDS = 10.0


class MlflowServer:
    """A real MLflow server in its own process group."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self._process = process
        self._log = log
        self.uri = f"http://127.0.0.1:{port}"

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_healthy(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            try:
                with urllib.request.urlopen(f"{self.uri}/health", timeout=2):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        raise RuntimeError(f"MLflow did not come up:\n{self._log.read_text()[-2000:]}")

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Suspend all its processes, as on a hung machine."""
        os.killpg(self._process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(self._process.pid, signal.SIGCONT)

    def kill(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        deadline = time.monotonic() + STOP_SECONDS
        while living := _living_members(self._process.pid):
            if time.monotonic() > deadline:
                raise RuntimeError(f"processes of MLflow are left: {living}")
            time.sleep(0.05)


def _living_members(group: int) -> list[int]:
    members = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, pgrp = stat.read_text().rpartition(")")[2].split()[:3]
        except (OSError, ValueError):
            continue
        if int(pgrp) == group and state != "Z":
            members.append(int(stat.parent.name))
    return members


@contextmanager
def running_mlflow(
    directory: Path,
    *arguments: str,
    artifacts: str | None = None,
    environment: Mapping[str, str] = {},
) -> Iterator[MlflowServer]:
    """Start MLflow, wait until it responds, and stop all its processes at the end."""
    port = free_port()
    log = directory / "mlflow.log"
    command = [
        *(sys.executable, "-m", "tests.support.mlflow_program", "server"),
        *("--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        *("--backend-store-uri", f"sqlite:///{directory / 'mlflow.db'}"),
        *("--artifacts-destination", artifacts or str(directory / "artifacts")),
        *arguments,
    ]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
                **environment,
            },
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    server = MlflowServer(process, port, log)
    try:
        server.wait_healthy()
        yield server
    finally:
        server.kill()


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    """Serve every request with `handler`; yield the address."""
    runner = web.AppRunner(
        _catch_all(handler), access_log=None, shutdown_timeout=0.1, handler_cancellation=True
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


def _catch_all(handler: Handler) -> web.Application:
    app = web.Application(client_max_size=2**24)
    app.router.add_route("*", "/{path:.*}", handler)
    return app


class Relay:
    """A relay that forwards requests to MLflow, counts them, and injects faults on demand."""

    def __init__(self, upstream: str, session: aiohttp.ClientSession) -> None:
        self._upstream = upstream
        self._session = session
        self.uri = ""
        self.seen: Counter[str] = Counter()
        self.authorizations: set[str | None] = set()
        self._lost: Counter[str] = Counter()
        self._failing: dict[str, tuple[int, bytes]] = {}
        self._gates: dict[str, asyncio.Event] = {}

    def lose_answer(self, path: str) -> None:
        """Let MLflow process the next request to `path`, but drop its response."""
        self._lost[path] += 1

    def fail(self, path: str, status: int, needle: bytes = b"") -> None:
        """Respond with `status` to requests to `path` whose body contains `needle`."""
        self._failing[path] = (status, needle)

    def recover(self) -> None:
        self._failing.clear()

    def gate(self, path: str) -> asyncio.Event:
        """Hold requests to `path` until the event is set."""
        return self._gates.setdefault(path, asyncio.Event())

    async def handle(self, request: web.Request) -> web.StreamResponse:
        path = request.path.removeprefix("/api/2.0/mlflow/")
        self.seen[path] += 1
        self.authorizations.add(request.headers.get("Authorization"))
        content = await request.read()
        if path in self._gates:
            await self._gates[path].wait()
        status, needle = self._failing.get(path, (0, b""))
        if status and needle in content:
            return web.Response(status=status, text="the relay says no")
        async with self._session.request(
            request.method,
            self._upstream + request.path_qs,
            data=content,
            headers={"Content-Type": request.content_type},
        ) as response:
            answer = await response.read()
        if self._lost[path]:
            self._lost[path] -= 1
            assert request.transport is not None
            request.transport.abort()
        return web.Response(status=response.status, body=answer, content_type=response.content_type)


@asynccontextmanager
async def relaying(upstream: str) -> AsyncIterator[Relay]:
    async with aiohttp.ClientSession() as session:
        relay = Relay(upstream, session)
        async with serving(relay.handle) as uri:
            relay.uri = uri
            yield relay
