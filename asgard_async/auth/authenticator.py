"""Authentication in the running service: token look-up, and closing of streams on revocation."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from asgard_async.auth.errors import TokensUnreadable
from asgard_async.auth.token import Token
from asgard_async.auth.token_file import TokenFile
from asgard_async.config import ConfigError

CHECK_SECONDS = 1.0
"""Interval between checks of the tokens while streams are open; one check covers all streams."""

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(kw_only=True, eq=False)
class StreamGrant:
    """The permission of a stream, which outlives the authentication of its request."""

    token: Token | None
    """None if the stream was opened while the API was open."""
    close: Callable[[], None]
    is_revoked: bool = False
    """True once the token is no longer valid and `close` was called."""


class Authenticator:
    """Finds tokens, or accepts all requests while the API is open. Call `run` in a background task.

    If the tokens cannot be read, all requests are rejected; this is logged once.
    """

    def __init__(self, tokens: TokenFile, *, may_be_open: bool) -> None:
        self._tokens = tokens
        self._may_be_open = may_be_open
        self._failure_logged = False
        self._grants: set[StreamGrant] = set()
        self._has_grants = asyncio.Event()
        self._by_secret: dict[str, Token] = {}
        """Found tokens, cached for one iteration of the event loop."""

    def is_open(self) -> bool:
        """Return whether no token is required: none was ever created, and the API may be open.

        Raises:
            TokensUnreadable: the token file cannot be read.
        """
        return not self._ask(self._tokens.is_closed) and self._may_be_open

    def find(self, secret: str) -> Token | None:
        """Return the token of a secret, if there is one.

        Raises:
            TokensUnreadable: the token file cannot be read.
        """
        if (token := self._by_secret.get(secret)) is not None:
            return token
        token = self._ask(self._tokens.find, secret)
        if token is not None:
            if not self._by_secret:
                asyncio.get_running_loop().call_soon(self._by_secret.clear)
            self._by_secret[secret] = token
        return token

    def find_by_id(self, token_id: str) -> Token | None:
        """Return the token with an id, if there is one.

        Raises:
            TokensUnreadable: the token file cannot be read.
        """
        tokens = self._ask(self._tokens.all)
        return next((token for token in tokens if token.id == token_id), None)

    def problem(self) -> str | None:
        """Return why all requests are rejected, for `ServiceReadiness`; None if they are not."""
        try:
            self.is_open()
        except TokensUnreadable as error:
            return str(error)
        return None

    @contextlib.contextmanager
    def grant(self, token: Token | None, close: Callable[[], None]) -> Iterator[StreamGrant]:
        """Permit a stream inside the context; call `close` once, soon after its token is revoked.

        A stream that was opened while the API was open is closed when the first token is created.
        """
        grant = StreamGrant(token=token, close=close)
        self._grants.add(grant)
        self._has_grants.set()
        try:
            yield grant
        finally:
            self._grants.discard(grant)
            if not self._grants:
                self._has_grants.clear()

    async def run(self) -> None:
        """Close the streams of revoked tokens until cancelled."""
        while True:
            await self._has_grants.wait()
            # if the tokens cannot be read, it is unknown which are revoked
            with contextlib.suppress(TokensUnreadable):
                self._close_revoked()
            await asyncio.sleep(CHECK_SECONDS)

    def _close_revoked(self) -> None:
        if self.is_open():
            return
        for grant in list(self._grants):
            token = grant.token
            if not grant.is_revoked and (token is None or not self._ask(self._tokens.has, token)):
                grant.is_revoked = True
                grant.close()

    def _ask(self, question: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            result = question(*args, **kwargs)
        except ConfigError as error:
            if not self._failure_logged:
                logger.error("%s; all requests are rejected until it can be read", error)
            self._failure_logged = True
            raise TokensUnreadable from error
        if self._failure_logged:
            logger.info("the tokens can be read again")
        self._failure_logged = False
        return result
