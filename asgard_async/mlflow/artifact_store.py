"""Where artifacts go: whether MLflow can get there, asked before a training finds out.

A job that cannot store its model learns it late and badly: MLflow answers 500 without a word, and
its client library tries again for minutes.
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
"""While something is wrong."""

DRIVERS = {
    "s3": ("boto3", "asgard-async[s3]"),
    "r2": ("boto3", "asgard-async[s3]"),
    "b2": ("boto3", "asgard-async[s3]"),
    "gs": ("google.cloud.storage", "google-cloud-storage"),
    "wasbs": ("azure.storage.blob", "azure-storage-blob"),
}
"""What MLflow imports for an address, at the first artifact: module, and what to install."""


def check_destination(config: Config) -> None:
    """Refuse an artifact store that the embedded server has no driver for.

    Raises:
        ConfigError: the text names what to install.
    """
    destination = config.mlflow.artifacts_destination
    scheme, separator, rest = destination.partition("://")
    if not config.mlflow.embedded or not separator:
        return
    source = config.sources.get("mlflow.artifacts_destination", "config.toml")
    place = f"{source}: [mlflow] artifacts_destination"
    if scheme in DRIVERS:
        module, package = DRIVERS[scheme]
        if not _is_installed(module):
            raise ConfigError(
                f"{place}: {scheme}:// needs {module}, which is not installed here; install it"
                f" with: pip install '{package}'"
            )
        if not rest.partition("/")[0]:
            raise ConfigError(f"{place}: names no bucket; expected {scheme}://bucket/path")


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # what a dotted name lies in
        return False


class ArtifactStoreWatch:
    """Has MLflow look into its artifact store now and then, and knows what is wrong with it."""

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
        self._noted = ""
        self.problem = ""
        """Why models cannot be stored, for an administrator; empty when nothing is known."""

    async def run(self) -> NoReturn:
        """Look for ever; to be run as a task and cancelled."""
        while True:
            await self._monitor.wait_accessible()
            await self._look()
            await asyncio.sleep(self._check_again_seconds if self.problem else self._check_seconds)

    async def _look(self) -> None:
        self.problem = note = ""
        try:
            await self._gateway.look_into_artifacts()
        except ArtifactsNotServed as error:
            note = str(error)  # may be meant so, where jobs bring credentials
        except AsgardError as error:
            note = self.problem = f"Artifacts cannot be stored: {error}"
        if note and note != self._noted:
            logger.warning("%s", note)
        if self._noted and not note:
            logger.info("artifacts can be stored")
        self._noted = note
