"""A real service for synchronous searches: hypothesis calls plain functions."""

import asyncio
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from tests.support.service import WITHOUT_MLFLOW, Service

T = TypeVar("T")


class LiveService:
    """A service in a separate process, and the event loop for requests to it."""

    def __init__(self, service: Service, runner: asyncio.Runner) -> None:
        self.service = service
        self._runner = runner

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to completion."""
        return self._runner.run(coroutine)


@contextmanager
def live_service(data_dir: Path, settings: Mapping[str, str] = {}) -> Iterator[LiveService]:
    """A running service without MLflow, stopped at the end with all its processes."""
    with asyncio.Runner() as runner:
        service = Service(data_dir, WITHOUT_MLFLOW | dict(settings))
        try:
            runner.run(service.start())
            yield LiveService(service, runner)
        finally:
            runner.run(service.close())
