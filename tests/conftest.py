"""Fixtures that more than one folder needs."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.service import NOWHERE, Service, running_service

WITHOUT_MLFLOW = {"ASGARD_MLFLOW__TRACKING_URI": NOWHERE}


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    """A started service whose MLflow refuses connections; everything is gone at the end."""
    async with running_service(tmp_path / "data", WITHOUT_MLFLOW) as started:
        yield started
