"""The address of the service and the session with it, shared by every call."""

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
        instance: str | None = None,
        timeout: float = 30,
        retry_for: float = 10,
        reconnect_for: float = 300,
    ) -> None:
        """Create a client, which connects on the first call.

        Args:
            url: the service's URL; default: ASGARD_URL, else http://127.0.0.1:8000.
            token: access token; default: ASGARD_TOKEN. Over http, it is sent only to a server that
                proves that it knows the token.
            instance: the id of the only service to talk to, as shown by /health/instance; default:
                ASGARD_INSTANCE, else any.
            timeout: seconds without data after which a request fails.
            retry_for: seconds for which a failing call is retried.
            reconnect_for: seconds for which `wait` and `follow` try to reconnect.

        Raises:
            ValueError: the URL or the token is malformed.
        """
        self._address = Address(url, token, instance)
        self._transport = Transport(self._address, timeout=timeout, retry_for=retry_for)
        self._reconnect_for = reconnect_for

    @property
    def url(self) -> str:
        """The service's URL without credentials."""
        return self._address.url

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url}>"

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()
