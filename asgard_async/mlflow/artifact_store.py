"""Checks of MLflow's artifact store, so that problems surface before a job runs into them.

A job that cannot store its model fails late and with an unclear error: MLflow answers 500 without a
message, and its client library retries for minutes.
"""

import asyncio
import logging
from importlib.util import find_spec
from typing import NoReturn

from asgard_async.config import Config, ConfigError
from asgard_async.domain.errors import AsgardError
from asgard_async.mlflow.gateway import MlflowGateway
from asgard_async.mlflow.monitor import Monitor
from asgard_async.mlflow.refusals import ArtifactsNotServed

logger = logging.getLogger(__name__)

CHECK_SECONDS = 300.0
CHECK_AGAIN_SECONDS = 15.0
"""The interval while there is a problem."""

DRIVERS = {
    "s3": ("boto3", "asgard-async[s3]"),
    "r2": ("boto3", "asgard-async[s3]"),
    "b2": ("boto3", "asgard-async[s3]"),
    "gs": ("google.cloud.storage", "google-cloud-storage"),
    "wasbs": ("azure.storage.blob", "azure-storage-blob"),
}
"""By URL scheme, the module that MLflow imports for the first artifact, and its package."""


def check_destination(config: Config) -> None:
    """Check that the embedded server has a driver for the configured artifact store.

    Raises:
        ConfigError: the driver is missing (the message names the package to install), or the
            address contains no bucket.
    """
    destination = config.mlflow.artifacts_destination
    scheme, separator, rest = destination.partition("://")
    if not config.mlflow.embedded or not separator:
        return
    source = config.sources.get("mlflow.artifacts_destination", "config.toml")
    setting = f"{source}: [mlflow] artifacts_destination"
    if scheme in DRIVERS:
        module, package = DRIVERS[scheme]
        if not _is_installed(module):
            raise ConfigError(
                f"{setting}: {scheme}:// requires {module}, which is not installed; install it"
                f" with: pip install '{package}'"
            )
        if not rest.partition("/")[0]:
            raise ConfigError(f"{setting}: the bucket is missing; expected {scheme}://bucket/path")


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # the parent package of a dotted name
        return False


class ArtifactStoreWatch:
    """Checks at intervals that MLflow can access its artifact store."""

    def __init__(
        self,
        gateway: MlflowGateway,
        monitor: Monitor,
        *,
        check_seconds: float = CHECK_SECONDS,
        check_again_seconds: float = CHECK_AGAIN_SECONDS,
    ) -> None:
        self._gateway = gateway
        self._monitor = monitor
        self._check_seconds = check_seconds
        self._check_again_seconds = check_again_seconds
        self._last_warning = ""
        self.problem = ""
        """The reason why models cannot be stored, for an administrator; empty if none is known."""

    async def run(self) -> NoReturn:
        """Check at intervals until cancelled."""
        while True:
            await self._monitor.wait_accessible()
            await self._check()
            await asyncio.sleep(self._check_again_seconds if self.problem else self._check_seconds)

    async def _check(self) -> None:
        self.problem = warning = ""
        try:
            await self._gateway.check_artifact_store()
        except ArtifactsNotServed as error:
            warning = str(error)  # not a problem in itself: jobs may have their own credentials
        except AsgardError as error:
            warning = self.problem = f"Artifacts cannot be stored: {error}"
        if warning and warning != self._last_warning:
            logger.warning("%s", warning)
        if self._last_warning and not warning:
            logger.info("artifacts can be stored again")
        self._last_warning = warning
