"""The client for asyncio."""

from types import TracebackType
from typing import Self

from asgard_async.client.calls.models import ModelCalls
from asgard_async.client.calls.service import ServiceCalls
from asgard_async.client.calls.submit import SubmitCall
from asgard_async.client.calls.wait import WaitCall


class AsyncAsgardClient(SubmitCall, WaitCall, ModelCalls, ServiceCalls):
    """Talks to a running Asgard.

    Jobs are given as a `Job` or by their id. Every method may raise an `AsgardError`. Connections
    that fail, 429 and 503 are tried again where the same request twice does what it does once.

    For one event loop; `AsgardClient` serves several threads.
    """

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()
