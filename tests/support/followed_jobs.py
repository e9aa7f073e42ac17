"""Jobs whose logs are followed, and services that disconnect stalled readers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from asgard_async.api.metrics.component import METRICS
from tests.support.api_service import log_of, running, service_config
from tests.support.app_server import Client
from tests.support.eventually import eventually

HELD = """
import os, time
print("begun", flush=True)
while not os.path.exists("go"): time.sleep(0.01)
print("gone on")
"""
"""Continues once a file appears in its working directory."""
FLOOD = f"import os\nfor _ in range(60): os.write(1, b'x' * {1 << 20})\n"
"""Prints more than the buffers on the way to a stalled reader hold."""


def let_go(client: Client, job_id: str) -> None:
    """Let a held job continue."""
    (log_of(client, job_id).parent / "attempts" / "1" / "work" / "go").touch()


@asynccontextmanager
async def impatient_service(data_dir: Path) -> AsyncIterator[Client]:
    """A service that disconnects a reader which stalls for half a second."""
    async with running(service_config(data_dir, logs={"stalled_reader_seconds": 0.5})) as client:
        yield client


async def reader_disconnected(client: Client) -> None:
    """Wait until the service has disconnected one stalled reader."""
    dropped = client.app[METRICS].dropped_log_readers
    await eventually(lambda: dropped._value.get() == 1, what="one is disconnected")
