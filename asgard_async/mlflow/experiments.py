"""Creation of experiments before the jobs that name them start.

If several jobs create the same experiment at once, MLflow's client library fails in all but one
with RESOURCE_ALREADY_EXISTS.
"""

import asyncio
import logging
import time
from collections.abc import Callable

from asgard_async.domain.errors import AsgardError, TrackingNotFound
from asgard_async.mlflow.gateway import MlflowGateway
from asgard_async.mlflow.refusals import ALREADY_EXISTS, MlflowRefused

logger = logging.getLogger(__name__)

TTL_SECONDS = 60.0


class Experiments:
    """Looks up and creates experiments, one request at a time for each name."""

    def __init__(
        self,
        gateway: MlflowGateway,
        *,
        wait_seconds: float,
        ttl_seconds: float = TTL_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._gateway = gateway
        self._wait_seconds = wait_seconds
        self._ttl_seconds = ttl_seconds
        self._clock = clock
        self._cache: dict[str, tuple[str, float]] = {}
        self._requests: dict[str, asyncio.Task[str | None]] = {}

    async def ensure_experiment(self, name: str, *, owner: str = "") -> str | None:
        """Return the id of the experiment called `name`, creating it for `owner` if necessary.

        Returns None and logs the reason if MLflow refuses or does not answer in time. The job can
        start anyway: its script then has to cope with the state of MLflow.
        """
        if (cached := self._cache.get(name)) is not None and self._clock() < cached[1]:
            return cached[0]
        request = self._requests.get(name)
        if request is None:
            request = asyncio.create_task(self._look_up(name, owner), name="ensure-experiment")
            self._requests[name] = request
            request.add_done_callback(lambda _: self._requests.pop(name))
        # wait, unlike wait_for, keeps the request for other callers when this caller gives up
        await asyncio.wait([request], timeout=self._wait_seconds)
        if not request.done():
            logger.warning("MLflow took too long to look up an experiment")
            return None
        return None if request.cancelled() else request.result()

    async def aclose(self) -> None:
        """Cancel the pending requests."""
        requests = list(self._requests.values())
        for request in requests:
            request.cancel()
        await asyncio.gather(*requests, return_exceptions=True)

    async def _look_up(self, name: str, owner: str) -> str | None:
        try:
            experiment_id = await self._find_or_create(name, owner)
        except AsgardError as error:
            logger.warning("an experiment could not be looked up or created: %s", error)
            return None
        if experiment_id is not None:
            self._add_to_cache(name, experiment_id)
        return experiment_id

    async def _find_or_create(self, name: str, owner: str) -> str | None:
        try:
            experiment = await self._gateway.experiment_named(name)
        except TrackingNotFound:
            try:
                return await self._gateway.for_owner(owner).create_experiment(name)
            except MlflowRefused as error:
                if error.error_code != ALREADY_EXISTS:
                    raise
            # another client, such as a script, has just created the experiment
            experiment = await self._gateway.experiment_named(name)
        if experiment.lifecycle_stage != "active":
            logger.warning(
                "experiment %s is deleted in MLflow; jobs that log to it fail until it is restored",
                experiment.experiment_id,
            )
            return None
        return experiment.experiment_id

    def _add_to_cache(self, name: str, experiment_id: str) -> None:
        now = self._clock()
        for stale in [cached for cached, (_, expiry) in self._cache.items() if expiry <= now]:
            del self._cache[stale]
        self._cache[name] = (experiment_id, now + self._ttl_seconds)
