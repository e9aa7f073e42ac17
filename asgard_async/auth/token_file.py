"""The tokens of a data directory, in one file of their own.

A file rather than a table: `asgard token` replaces it as a whole, and the running service sees that
by one stat, so that a new or revoked token counts with the next request.
"""

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import msgspec

from asgard_async.auth.token import NewToken, Scope, Token, id_in
from asgard_async.config import ConfigError
from asgard_async.core.files.durability import make_durable
from asgard_async.core.files.ownership import open_private

_Stamp = tuple[int, int, int]
_NO_FILE: _Stamp = (0, 0, 0)


class NameTaken(Exception):
    """There is a token of that name already."""


class NoSuchToken(Exception):
    """No token has that id or name."""


class TokenFile:
    """The tokens in one file; all of its methods may be called beside other processes."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._stamp = _NO_FILE
        self._known: dict[str, Token] = {}

    # --- asking ---------------------------------------------------------------------------

    def is_closed(self) -> bool:
        """Whether a token is needed: from the first one on, even when all have been revoked.

        Raises:
            ConfigError: the file cannot be read.
        """
        self._look()
        return self._stamp != _NO_FILE

    def find(self, secret: str) -> Token | None:
        """The token that a secret is of.

        Raises:
            ConfigError: the file cannot be read.
        """
        self._look()
        token = self._known.get(id_in(secret) or "")
        return token if token is not None and token.is_of(secret) else None

    def has(self, token: Token) -> bool:
        """Whether a token is still there, as it was.

        Raises:
            ConfigError: the file cannot be read.
        """
        self._look()
        return self._known.get(token.id) == token

    def all(self) -> Sequence[Token]:
        """Every token, the oldest first.

        Raises:
            ConfigError: the file cannot be read.
        """
        self._look()
        return list(self._known.values())

    # --- changing -------------------------------------------------------------------------

    def create(self, *, name: str | None, scope: Scope, at: datetime) -> NewToken:
        """Add a token, named by its id unless a name is given; durable when this returns.

        Raises:
            NameTaken: another one is called so.
            ConfigError: the file cannot be read.
        """
        with self._alone():
            tokens = self.all()
            # one name or id must never mean two tokens
            taken = {known for token in tokens for known in (token.id, token.name)}
            if name in taken:
                raise NameTaken(name)
            new = NewToken.draw(name=name, scope=scope, at=at)
            while new.token.id in taken:
                new = NewToken.draw(name=name, scope=scope, at=at)
            self._replace([*tokens, new.token])
        return new

    def revoke(self, id_or_name: str) -> Token:
        """Remove a token; durable when this returns.

        Raises:
            NoSuchToken: nobody is called so.
            ConfigError: the file cannot be read.
        """
        with self._alone():
            tokens = self.all()
            gone = next((t for t in tokens if id_or_name in {t.id, t.name}), None)
            if gone is None:
                raise NoSuchToken(id_or_name)
            self._replace([token for token in tokens if token is not gone])
        return gone

    # --- the file -------------------------------------------------------------------------

    def _look(self) -> None:
        """Read the file again if it is another one than the last time."""
        try:
            status = os.stat(self._file)  # noqa: PTH116  # with each request
            stamp = (status.st_ino, status.st_mtime_ns, status.st_size)
            if stamp == self._stamp:
                return
            tokens = msgspec.json.decode(self._file.read_bytes(), type=list[Token])
        except FileNotFoundError:
            self._stamp, self._known = _NO_FILE, {}
            return
        except (OSError, ValueError) as error:  # msgspec's own, and no UTF-8
            self._stamp, self._known = (-1, 0, 0), {}
            raise ConfigError(f"{self._file}: the tokens cannot be read: {error}") from error
        self._stamp, self._known = stamp, {token.id: token for token in tokens}

    def _replace(self, tokens: Sequence[Token]) -> None:
        new = self._file.with_name(self._file.name + ".new")
        descriptor = open_private(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(tokens)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._file)
        make_durable(self._file.parent)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other processes from changing the file meanwhile."""
        lock = open_private(self._file.with_name(self._file.name + ".lock"), os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)
