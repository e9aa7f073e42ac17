"""Monitoring of MLflow in the background, so that status requests need not wait for it."""

import asyncio
import contextlib
import logging
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal, NoReturn

from asgard_async.domain.errors import AsgardError, TrackingNotFound, TrackingRejected
from asgard_async.mlflow.gateway import MlflowGateway
from asgard_async.mlflow.refusals import EndpointMissing

logger = logging.getLogger(__name__)

FIRST_RETRY_SECONDS = 0.5

MlflowState = Literal["accessible", "unreachable", "starting"]


@dataclass(frozen=True, kw_only=True)
class TrackingSnapshot:
    """MLflow's state at the last check. Counts are the last known values, initially None."""

    mlflow_api: MlflowState = "unreachable"
    registered_models: int | None = None
    active_experiments: int | None = None
    checked_at: datetime | None = None
    """The time of the last check, successful or not."""
    latency_ms: float | None = None
    """Response time of the last check; None if it failed."""

    @property
    def available(self) -> bool:
        return self.mlflow_api == "accessible"


class Monitor:
    """Checks MLflow at intervals and wakes callers that wait for it."""

    def __init__(
        self,
        gateway: MlflowGateway,
        *,
        refresh_seconds: float,
        first_retry_seconds: float = FIRST_RETRY_SECONDS,
    ) -> None:
        self._gateway = gateway
        self._refresh_seconds = refresh_seconds
        self._first_retry_seconds = min(first_retry_seconds, refresh_seconds)
        self._snapshot = TrackingSnapshot()
        self._accessible = asyncio.Event()
        self._check_requested = asyncio.Event()
        self._starting = False
        self._problem = ""

    @property
    def snapshot(self) -> TrackingSnapshot:
        """MLflow's state at the last check."""
        return self._snapshot

    @property
    def problem(self) -> str:
        """The reason why MLflow is unreachable, for an administrator; otherwise empty."""
        return self._problem if self._snapshot.mlflow_api == "unreachable" else ""

    def expect_start(self) -> None:
        """Record that the server has just been started.

        Until it answers, its state is "starting" instead of "unreachable".
        """
        self._starting = True
        self._accessible.clear()  # the previous server is gone, even if no check has noticed
        self._snapshot = replace(self._snapshot, mlflow_api="starting")
        self.check_now()

    def check_now(self) -> None:
        """Check immediately instead of at the next interval."""
        self._check_requested.set()

    def report_failure(self) -> None:
        """Record that a request has failed: waiters wait until the next successful check."""
        self._accessible.clear()
        self.check_now()

    async def wait_accessible(self, seconds: float | None = None) -> bool:
        """Wait until MLflow answers; False after `seconds` (None: no limit)."""
        try:
            async with asyncio.timeout(seconds):
                return await self._accessible.wait()
        except TimeoutError:
            return False

    async def run(self) -> NoReturn:
        """Check MLflow at intervals until cancelled."""
        pause = self._first_retry_seconds
        while True:
            self._check_requested.clear()
            if await self._check():
                pause = self._first_retry_seconds
                await self._sleep(self._refresh_seconds)
                continue
            if self._starting:
                pause = self._first_retry_seconds  # no backoff: the server is local, answers soon
            await self._sleep(pause)
            pause = min(pause * 2, self._refresh_seconds)

    async def _sleep(self, seconds: float) -> None:
        # not wait_for: in Python 3.11 it swallows a cancellation that coincides with the event
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._check_requested.wait()

    async def _check(self) -> bool:
        start = time.perf_counter()
        try:
            experiments = len(await self._gateway.active_experiment_ids())
            latency_ms = (time.perf_counter() - start) * 1000
            models = await self._count_models()
        except AsgardError as error:
            self._record_failure(error)
            return False
        self._record_success(experiments, models, round(latency_ms, 1))
        return True

    async def _count_models(self) -> int | None:
        try:
            return await self._gateway.count_registered_models()
        except (EndpointMissing, TrackingNotFound, TrackingRejected):
            return None  # a tracking server without a registry is still useful

    def _record_success(self, experiments: int, models: int | None, latency_ms: float) -> None:
        if not self._snapshot.available:
            logger.info("MLflow at %s is accessible", self._gateway.public_uri)
        self._starting = False
        self._problem = ""
        self._snapshot = TrackingSnapshot(
            mlflow_api="accessible",
            registered_models=models,
            active_experiments=experiments,
            checked_at=datetime.now(UTC),
            latency_ms=latency_ms,
        )
        self._accessible.set()

    def _record_failure(self, error: AsgardError) -> None:
        problem = str(error)
        if problem != self._problem:
            level = logging.DEBUG if self._starting else logging.WARNING
            logger.log(level, "%s", problem)
        self._problem = problem
        self._accessible.clear()
        self._snapshot = replace(
            self._snapshot,
            mlflow_api="starting" if self._starting else "unreachable",
            checked_at=datetime.now(UTC),
            latency_ms=None,
        )
