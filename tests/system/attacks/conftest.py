"""A service in the test's own process, for attacks that need nothing else."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.api_service import running, service_config
from tests.support.app_server import Client


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Client]:
    """A service that runs its jobs."""
    async with running(service_config(tmp_path)) as client:
        yield client
