"""The accounts of the embedded MLflow, which follow the tokens of Asgard's API."""

import asyncio
import logging
from typing import Any

import msgspec

from asgard_async.auth.token_file import TokenFile
from asgard_async.config import Config, ConfigError
from asgard_async.domain.errors import AsgardError
from asgard_async.mlflow.gateway import MlflowGateway
from asgard_async.mlflow.refusals import EndpointMissing
from asgard_async.store.jobs import JobStore

logger = logging.getLogger(__name__)

OWNERS_PER_REQUEST = 5000
CHECK_SECONDS = 1.0
"""Interval between looks at the tokens, of one system call each."""


class Accounts:
    """Sends the tokens to MLflow whenever they change. Call `run` in a background task."""

    def __init__(self, config: Config, tokens: TokenFile, store: JobStore) -> None:
        self._guard = config.mlflow.guard
        self._others_read = config.access.others_read
        self._tokens = tokens
        self._store = store
        self._sent: dict[str, Any] | None = None

    @property
    def guard_is_on(self) -> bool:
        """True if MLflow keeps owners apart: as soon as a token exists, unless configured."""
        if self._guard != "auto":
            return self._guard == "on"
        try:
            return self._tokens.is_closed()
        except ConfigError:
            return True

    @property
    def guard_at_start(self) -> str:
        """The `guard` of a server that is about to start; see `ServerSettings`."""
        if self._guard == "off":
            return "off"
        return "on" if self.guard_is_on else "ready"

    def forget(self) -> None:
        """Send everything again: MLflow starts anew and knows no tokens."""
        self._sent = None

    async def run(self, gateway: MlflowGateway) -> None:
        """Keep MLflow up to date until cancelled."""
        if self._guard == "off":
            return
        while True:
            try:
                await self._send_changes(gateway)
            except EndpointMissing:
                logger.warning(
                    "the embedded MLflow was started by an earlier version of Asgard and does not"
                    " keep owners apart; restart the service while no job is running"
                )
                return
            except AsgardError as error:
                logger.debug("MLflow does not take the tokens yet: %s", error)
            await asyncio.sleep(CHECK_SECONDS)

    async def _send_changes(self, gateway: MlflowGateway) -> None:
        try:
            known = self._tokens.all()
        except ConfigError:
            known = ()  # as for Asgard's API, all requests are then rejected
        document = {
            "is_on": self.guard_is_on,
            "others_read": self._others_read,
            "tokens": [msgspec.to_builtins(token) for token in known],
        }
        if document != self._sent:
            self._sent = document  # before sending: MLflow may start again meanwhile
            try:
                if await gateway.replace_accounts(document):
                    await self._send_owners(gateway)
            except BaseException:
                self._sent = None
                raise

    async def _send_owners(self, gateway: MlflowGateway) -> None:
        last = 0
        while True:
            owners, after = await self._store.owners_after(last, limit=OWNERS_PER_REQUEST)
            await gateway.add_owners(owners, is_complete=after == last)
            if after == last:
                return
            last = after
