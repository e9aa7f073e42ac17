"""Ray Jobs as in Ray's documentation: `pip install "ray[default]"`, `ray start --head`.

Jobs use the REST API of `ray job submit` and `JobSubmissionClient`, so both sides have the same
client. Ray listens on every address, so it runs in a network namespace of its own.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp

from benchmarks.memory import pss_mb
from benchmarks.peers import INSTALLED, PeerMissing
from tests.support.eventually import eventually
from tests.support.processes import processes_with

POLL_SECONDS = 0.005
START_SECONDS = 180.0
STOP_SECONDS = 20.0
DASHBOARD_PORT = "8265"
ENDED = {"SUCCEEDED", "FAILED", "STOPPED"}


def installed() -> Path:
    """The `ray` program, from an environment of its own that is created if it does not exist.

    Raises:
        PeerMissing: It could not be installed, for instance without a network.
    """
    home = INSTALLED / "ray"
    program, done = home / "bin" / "ray", home / "installed"
    if done.exists():
        return program
    shutil.rmtree(home, ignore_errors=True)
    home.parent.mkdir(exist_ok=True)
    print('  (installing "ray[default]" into .bench/ray)', file=sys.stderr, flush=True)
    python = home / "bin" / "python"
    for command in (
        ("-m", "venv", "--python", sys.executable, home),
        ("-m", "pip", "install", "--python", python, "ray[default]"),
    ):
        run = subprocess.run(
            [sys.executable, "-m", "uv", "--quiet", *map(str, command[1:])],
            capture_output=True,
            text=True,
            check=False,
        )
        if run.returncode:
            raise PeerMissing(f"Ray could not be installed: {run.stderr.strip()[-200:]}")
    done.touch()
    return program


class RayHead:
    """A running head node."""

    def __init__(self, session: aiohttp.ClientSession, folder: Path, start_seconds: float) -> None:
        self._session = session
        self._folder = folder
        self.start_seconds = start_seconds
        """From `ray start` until jobs are accepted."""

    async def submit(self, command: str) -> str:
        """Submit a job that uses one core; return its id."""
        body = {"entrypoint": command, "entrypoint_num_cpus": 1}
        async with self._session.post("/api/jobs/", json=body) as response:
            assert response.status == 200, await response.text()
            submission: str = (await response.json())["submission_id"]
            return submission

    async def succeeded(self, submission: str) -> None:
        """Wait for a job to succeed."""
        while True:
            async with self._session.get(f"/api/jobs/{submission}") as response:
                job = await response.json()
            if job["status"] in ENDED:
                assert job["status"] == "SUCCEEDED", job
                return
            await asyncio.sleep(POLL_SECONDS)

    def memory_mb(self) -> float:
        """The PSS of all its processes."""
        return pss_mb(processes_with(str(self._folder)))


@contextlib.asynccontextmanager
async def ray_head(cores: int) -> AsyncIterator[RayHead]:
    """Run a head with this many cores; all its processes are gone at the end.

    Raises:
        PeerMissing: Ray cannot be installed, or not isolated from the network.
    """
    program = await asyncio.to_thread(installed)
    # Unix sockets are created below it; their paths are limited to 107 characters
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    entry, log = folder / "entry", folder / "start.log"
    begun = time.perf_counter()
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(
                sys.executable,
                "-m",
                "benchmarks.peers.own_network",
                str(entry),
                DASHBOARD_PORT,
            ),
            *(str(program), "start", "--head", "--block", "--disable-usage-stats"),
            *("--num-cpus", str(cores), "--temp-dir", str(folder)),
            *("--node-ip-address", "127.0.0.1", "--dashboard-port", DASHBOARD_PORT),
            env={**os.environ, "RAY_TMPDIR": str(folder)},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        async with aiohttp.ClientSession(
            "http://127.0.0.1", connector=aiohttp.UnixConnector(str(entry))
        ) as session:

            async def accepts_jobs() -> bool:
                if process.returncode is not None:
                    raise PeerMissing(f"Ray did not start: {log.read_text()[-200:]}")
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.get("/api/jobs/") as response:
                        return response.status == 200
                return False

            await eventually(accepts_jobs, within=START_SECONDS, what="Ray accepts jobs")
            yield RayHead(session, folder, time.perf_counter() - begun)
    finally:
        await _end(process, folder)
        shutil.rmtree(folder, ignore_errors=True)


async def _end(process: asyncio.subprocess.Process, folder: Path) -> None:
    """Stop the head, but not with `ray stop`, which stops every Ray of this user."""

    def left() -> list[int]:
        return processes_with(str(folder))

    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await eventually(lambda: not left(), within=STOP_SECONDS)
    except AssertionError:
        for pid in left():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await eventually(lambda: not left(), what="no process of Ray is left")
    await process.wait()
