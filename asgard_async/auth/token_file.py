"""The file that stores the tokens of a data directory.

Tokens are in a file instead of a table because `asgard token` can replace it atomically and the
running service notices this with one stat call. A new or revoked token takes effect with the next
request.
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
from asgard_async.core.files.regular import read_regular

_Stamp = tuple[int, int, int]
_NO_FILE: _Stamp = (0, 0, 0)

MAX_BYTES = 64 << 20
"""A larger file was not written by Asgard; a token takes 200 bytes."""


class NameTaken(Exception):
    """A token with that name or id exists."""


class NoSuchToken(Exception):
    """No token has that name or id."""


class TokenFile:
    """The tokens in one file. All methods are safe to use alongside other processes."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._path = os.fspath(file)
        self._stamp = _NO_FILE
        self._known: dict[str, Token] = {}

    # --- reading ---------------------------------------------------------------------------

    def is_closed(self) -> bool:
        """Return whether a token is required: once one exists, even if all are revoked later.

        Raises:
            ConfigError: the file cannot be read.
        """
        self._refresh()
        return self._stamp != _NO_FILE

    def find(self, secret: str) -> Token | None:
        """Return the token of a secret, if there is one.

        Raises:
            ConfigError: the file cannot be read.
        """
        self._refresh()
        token = self._known.get(id_in(secret) or "")
        return token if token is not None and token.is_of(secret) else None

    def has(self, token: Token) -> bool:
        """Return whether a token still exists unchanged.

        Raises:
            ConfigError: the file cannot be read.
        """
        self._refresh()
        return self._known.get(token.id) == token

    def all(self) -> Sequence[Token]:
        """Return all tokens, oldest first.

        Raises:
            ConfigError: the file cannot be read.
        """
        self._refresh()
        return list(self._known.values())

    # --- changing -------------------------------------------------------------------------

    def create(self, *, name: str | None, scope: Scope, at: datetime) -> NewToken:
        """Create a token, named after its id by default; durable once this returns.

        Raises:
            NameTaken: another token has that name or id.
            ConfigError: the file cannot be read.
        """
        with self._exclusive():
            tokens = self.all()
            # a name or id must never mean two tokens
            used_names = {text for token in tokens for text in (token.id, token.name)}
            if name in used_names:
                raise NameTaken(name)
            new = NewToken.draw(name=name, scope=scope, at=at)
            while new.token.id in used_names:
                new = NewToken.draw(name=name, scope=scope, at=at)
            self._replace([*tokens, new.token])
        return new

    def revoke(self, id_or_name: str) -> Token:
        """Delete a token; durable once this returns.

        Raises:
            NoSuchToken: no token has that name or id.
            ConfigError: the file cannot be read.
        """
        with self._exclusive():
            tokens = self.all()
            revoked = next((t for t in tokens if id_or_name in {t.id, t.name}), None)
            if revoked is None:
                raise NoSuchToken(id_or_name)
            self._replace([token for token in tokens if token is not revoked])
        return revoked

    # --- the file -------------------------------------------------------------------------

    def _refresh(self) -> None:
        """Read the file again if it has changed."""
        try:
            status = os.lstat(self._path)  # runs on every request
            stamp = (status.st_ino, status.st_mtime_ns, status.st_size)
            if stamp == self._stamp:
                return
            tokens = msgspec.json.decode(
                read_regular(self._file, max_bytes=MAX_BYTES), type=list[Token]
            )
        except FileNotFoundError:
            self._stamp, self._known = _NO_FILE, {}
            return
        except (OSError, ValueError) as error:  # ValueError: from msgspec, or not UTF-8
            self._stamp, self._known = (-1, 0, 0), {}
            raise ConfigError(f"{self._file}: cannot read the tokens: {error}") from error
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
    def _exclusive(self) -> Iterator[None]:
        """Keep other processes from changing the file inside the context."""
        lock = open_private(self._file.with_name(self._file.name + ".lock"), os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)
