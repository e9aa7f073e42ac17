"""What every call needs: where the service is, and the session with it."""

from asgard_async.client.address import Address
from asgard_async.client.transport import Transport

JOBS = ("mlops", "training", "jobs")


class Connection:
    """A session with the service."""

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        timeout: float = 30,
        retry_for: float = 10,
        reconnect_for: float = 300,
    ) -> None:
        """Nothing is connected before the first call.

        Args:
            url: of the service; else ASGARD_URL, else http://127.0.0.1:8000.
            token: access token; else ASGARD_TOKEN.
            timeout: seconds that the service may be silent in an answer.
            retry_for: seconds for which a call is tried again while it fails.
            reconnect_for: seconds for which `wait` and `follow` bear that the service is away.

        Raises:
            ValueError: URL or token cannot be one.
        """
        self._address = Address(url, token)
        self._transport = Transport(self._address, timeout=timeout, retry_for=retry_for)
        self._reconnect_for = reconnect_for

    @property
    def url(self) -> str:
        """Where the service is, without credentials."""
        return self._address.url

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url}>"

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()
