"""Answers per second of `/mlops/status`, beside a bare aiohttp handler with the same JSON.

    python -m benchmarks.status [--seconds 3] [--rounds 5]

Over 16 connections, with every middleware on and a token to be checked; and how long an answer
takes in that crowd while MLflow hangs.
"""

import json
import os
import signal
import sys
from asyncio import create_subprocess_exec, subprocess
from collections.abc import AsyncIterator, Set
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bench import Bench, run
from benchmarks.embedded import SOON, mlflow_pids, mlflow_uri, warm_is_ready
from benchmarks.figures import Row
from benchmarks.load import Answers, in_turns
from benchmarks.peers.bare import bare_server
from tests.support.service import Service, running_service

BESIDE = "bare aiohttp handler, the same JSON"
HOLDS = "16 connections that ask without a pause; a bearer token is checked"


@dataclass(frozen=True)
class Size:
    """Seconds of one round at one of the two servers; rounds."""

    seconds: float = 3
    rounds: int = 5


async def token_of(service: Service) -> str:
    """A new token of the service, which asks for one from now on."""
    process = await create_subprocess_exec(
        *(sys.executable, "-m", "asgard_async", "token", "create", "--scope", "read"),
        *("--data-dir", str(service.data_dir)),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # says which token this is
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    return output.decode().split()[0]


async def measure(wanted: Set[str], size: Size, folder: Path) -> AsyncIterator[Row]:
    async with running_service(folder / "data", SOON) as service:
        await mlflow_uri(service)
        await warm_is_ready(service)
        _, document = await service.get("/mlops/status")
        token = await token_of(service)
        async with bare_server("benchmarks.peers.bare_status", json.dumps(document)) as bare:
            urls = [f"{server.url}/mlops/status" for server in (service, bare)]

            async def both() -> list[Answers]:
                return await in_turns(urls, size.seconds, size.rounds, token)

            if "status" in wanted:
                ours, theirs = await both()
                yield Row(
                    id="status",
                    what="/mlops/status, answers per second",
                    unit="/s",
                    more_is_better=True,
                    peer=BESIDE,
                    asgard=ours.per_second,
                    theirs=theirs.per_second,
                    remark=HOLDS,
                )
            if "status-hanging" in wanted:
                for pid in mlflow_pids(service):
                    os.kill(pid, signal.SIGSTOP)
                ours, theirs = await both()
                yield Row(
                    id="status-hanging",
                    what="/mlops/status while MLflow hangs, 99th percentile of each round",
                    unit="ms",
                    peer=BESIDE,
                    asgard=ours.p99_ms,
                    theirs=theirs.p99_ms,
                    remark=f"MLflow stopped by SIGSTOP; {HOLDS}",
                )


BENCH = Bench(
    ids=("status", "status-hanging"),
    measure=measure,
    full=Size(),
    quick=Size(seconds=1, rounds=2),
)

if __name__ == "__main__":
    run(BENCH, __doc__)
