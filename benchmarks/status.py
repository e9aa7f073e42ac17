"""Responses per second of `/mlops/status`, compared with a bare aiohttp handler.

    python -m benchmarks.status [--seconds 3] [--rounds 5]

The handler returns the same JSON. 16 connections, all middlewares, and a token to check; also the
latency under this load while MLflow hangs.
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

PEER = "bare aiohttp handler, the same JSON"
CONDITIONS = "16 connections without pauses; a bearer token is checked"


@dataclass(frozen=True)
class Size:
    """Seconds per round and server, rounds."""

    seconds: float = 3
    rounds: int = 5


async def token_of(service: Service) -> str:
    """Create the first token of the service, which requires one from then on."""
    process = await create_subprocess_exec(
        *(sys.executable, "-m", "asgard_async", "token", "create", "--scope", "read"),
        *("--data-dir", str(service.data_dir)),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # a notice about the token
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
                asgard, bare_answers = await both()
                yield Row(
                    id="status",
                    what="/mlops/status, responses per second",
                    unit="/s",
                    more_is_better=True,
                    peer=PEER,
                    asgard=asgard.per_second,
                    peer_values=bare_answers.per_second,
                    remark=CONDITIONS,
                )
            if "status-hanging" in wanted:
                for pid in mlflow_pids(service):
                    os.kill(pid, signal.SIGSTOP)
                asgard, bare_answers = await both()
                yield Row(
                    id="status-hanging",
                    what="/mlops/status while MLflow hangs, 99th percentile per round",
                    unit="ms",
                    peer=PEER,
                    asgard=asgard.p99_ms,
                    peer_values=bare_answers.p99_ms,
                    remark=f"MLflow stopped with SIGSTOP; {CONDITIONS}",
                )


BENCH = Bench(
    ids=("status", "status-hanging"),
    measure=measure,
    full=Size(),
    quick=Size(seconds=1, rounds=2),
)

if __name__ == "__main__":
    run(BENCH, __doc__)
