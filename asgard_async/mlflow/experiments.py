"""Makes sure that an experiment exists before jobs that name it start.

Jobs that create one experiment at once fail in the client library with RESOURCE_ALREADY_EXISTS.
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
    """Looks experiments up and creates them, one request at a time for each name."""

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
        self._known: dict[str, tuple[str, float]] = {}
        self._flights: dict[str, asyncio.Task[str | None]] = {}

    async def ensure_experiment(self, name: str) -> str | None:
        """The id of the experiment called `name`, created if need be.

        None when MLflow does not answer in time or refuses; the reason is logged. A job may start
        all the same: its script then meets MLflow as it is.
        """
        if (known := self._known.get(name)) is not None and self._clock() < known[1]:
            return known[0]
        flight = self._flights.get(name)
        if flight is None:
            flight = asyncio.create_task(self._look_up(name), name="ensure-experiment")
            self._flights[name] = flight
            flight.add_done_callback(lambda _: self._flights.pop(name))
        # wait, unlike wait_for, leaves the request to the others when this caller gives up
        await asyncio.wait([flight], timeout=self._wait_seconds)
        if not flight.done():
            logger.warning("MLflow is too slow to make sure that an experiment exists")
            return None
        return None if flight.cancelled() else flight.result()

    async def aclose(self) -> None:
        """Give up the requests that are under way."""
        flights = list(self._flights.values())
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)

    async def _look_up(self, name: str) -> str | None:
        try:
            experiment_id = await self._find_or_create(name)
        except AsgardError as error:
            logger.warning("An experiment could not be made sure of: %s", error)
            return None
        if experiment_id is not None:
            self._remember(name, experiment_id)
        return experiment_id

    async def _find_or_create(self, name: str) -> str | None:
        try:
            experiment = await self._gateway.experiment_named(name)
        except TrackingNotFound:
            try:
                return await self._gateway.create_experiment(name)
            except MlflowRefused as error:
                if error.error_code != ALREADY_EXISTS:
                    raise
            # somebody else, a script perhaps, was quicker
            experiment = await self._gateway.experiment_named(name)
        if experiment.lifecycle_stage != "active":
            logger.warning(
                "Experiment %s is deleted in MLflow; restore it there, or jobs that log to it fail",
                experiment.experiment_id,
            )
            return None
        return experiment.experiment_id

    def _remember(self, name: str, experiment_id: str) -> None:
        now = self._clock()
        for stale in [known for known, (_, until) in self._known.items() if until <= now]:
            del self._known[stale]
        self._known[name] = (experiment_id, now + self._ttl_seconds)
