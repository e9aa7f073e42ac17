"""The first administrator's token of a service that listens on all addresses from its first start.

Where nobody can run `asgard token create` before the start, as in a container, the token comes from
a file (a secret of Docker or Kubernetes), or is made and printed.
"""

import os
from pathlib import Path

from asgard_async.auth.token import NewToken, Scope, id_in
from asgard_async.auth.token_file import TokenFile
from asgard_async.config import ConfigError
from asgard_async.core.files.regular import checked_regular
from asgard_async.core.timestamps import now

NAME = "initial"
MAX_BYTES = 4096
FORM = "asgard_, 8 hexadecimal digits, _, and 43 letters, digits, - or _"


def read_secret(file: Path) -> str:
    """Return the secret in a file, to which a link may lead, as in Kubernetes.

    Raises:
        ConfigError: the file cannot be read, or contains no token.
    """
    try:
        opened = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(checked_regular(opened, file), "rb") as content:
            secret = content.read(MAX_BYTES).decode(errors="replace").strip()
    except OSError as error:
        raise ConfigError(f"{file}: cannot read the initial token: {error.strerror}") from error
    if id_in(secret) is None:
        raise ConfigError(f"{file} does not contain a token; expected {FORM}")
    return secret


def create_initial_token(tokens: TokenFile, secret: str | None) -> NewToken | None:
    """Create the token, with a given or a random secret, unless a token was ever created.

    Raises:
        ConfigError: the tokens cannot be read.
    """
    at = now()
    if secret is None:
        new = NewToken.draw(name=NAME, scope=Scope.ADMIN, at=at)
    else:
        new = NewToken.of(secret, name=NAME, scope=Scope.ADMIN, at=at)
    return new if tokens.create_first(new.token) else None
