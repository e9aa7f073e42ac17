"""Who is let in, as the running service asks it; and who has to leave again."""

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

LOOK_SECONDS = 1.0
"""Between two looks at the tokens while somebody stays; for all who stay together."""

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(kw_only=True, eq=False)
class StreamGrant:
    """Somebody who stays: a stream that goes on after its request was let in."""

    token: Token | None
    """None: let in while the API was open."""
    leave: Callable[[], None]
    is_over: bool = False
    """Whether the token is no longer one, and the visitor was told to leave."""


class Authenticator:
    """Lets in who has a token, or everybody while it is open. Have `run` run beside it.

    What cannot be read lets nobody in. It is logged once, and not with each request.
    """

    def __init__(self, tokens: TokenFile, *, may_be_open: bool) -> None:
        self._tokens = tokens
        self._may_be_open = may_be_open
        self._told = False
        self._grants: set[StreamGrant] = set()
        self._occupied = asyncio.Event()
        self._found: dict[str, Token] = {}
        """By what requests brought that came in one turn of the event loop; no longer."""

    def is_open(self) -> bool:
        """Whether everybody is let in: there is no file of tokens, where that may be so.

        Raises:
            TokensUnreadable: nobody can be let in.
        """
        return not self._ask(self._tokens.is_closed) and self._may_be_open

    def find(self, secret: str) -> Token | None:
        """The token that a secret is of.

        Raises:
            TokensUnreadable: nobody can be let in.
        """
        if (token := self._found.get(secret)) is not None:
            return token
        token = self._ask(self._tokens.find, secret)
        if token is not None:
            if not self._found:
                asyncio.get_running_loop().call_soon(self._found.clear)
            self._found[secret] = token
        return token

    def problem(self) -> str | None:
        """Why nobody can be let in, for `Readiness`."""
        try:
            self.is_open()
        except TokensUnreadable as error:
            return str(error)
        return None

    @contextlib.contextmanager
    def grant(self, token: Token | None, leave: Callable[[], None]) -> Iterator[StreamGrant]:
        """Stay inside of the context. Soon after the token is revoked `leave` is called, once.

        Who came while the API was open has to leave when the first token is made.
        """
        grant = StreamGrant(token=token, leave=leave)
        self._grants.add(grant)
        self._occupied.set()
        try:
            yield grant
        finally:
            self._grants.discard(grant)
            if not self._grants:
                self._occupied.clear()

    async def run(self) -> None:
        """Look after those who stay, for ever."""
        while True:
            await self._occupied.wait()
            # while the tokens cannot be read nobody is known to be revoked, and none can be
            with contextlib.suppress(TokensUnreadable):
                self._send_away()
            await asyncio.sleep(LOOK_SECONDS)

    def _send_away(self) -> None:
        if self.is_open():
            return
        for grant in list(self._grants):
            token = grant.token
            if not grant.is_over and (token is None or not self._ask(self._tokens.has, token)):
                grant.is_over = True
                grant.leave()

    def _ask(self, question: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            answer = question(*args, **kwargs)
        except ConfigError as error:
            if not self._told:
                logger.error("%s; nobody is let in meanwhile", error)
            self._told = True
            raise TokensUnreadable from error
        if self._told:
            logger.info("the tokens can be read again")
        self._told = False
        return answer
