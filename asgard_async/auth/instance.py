"""The identity of a data directory, and the proof that a server knows a token without seeing it.

A client that has a token sends a random nonce and the token's id. The service answers with an HMAC
keyed with the stored digest of the token, which another program cannot know. The HMAC covers the
address that the service was reached at: a job that listens on another address and relays the
request cannot present the answer as its own.
"""

import hashlib
import hmac
import os
import re
import secrets
from pathlib import Path

from asgard_async.config import ConfigError
from asgard_async.core.files.ownership import open_private

_ID = re.compile(rb"[0-9a-f]{32}")


def instance_id(file: Path) -> str:
    """Return the id in `file`, which is created if it does not exist.

    Raises:
        ConfigError: the file is not one of Asgard's.
    """
    descriptor = open_private(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)
    try:
        content = os.pread(descriptor, 100, 0).strip()
        if not content:  # new, or cut short by a power failure
            content = secrets.token_hex(16).encode()
            os.pwrite(descriptor, content + b"\n", 0)
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if not _ID.fullmatch(content):
        raise ConfigError(f"{file} does not contain an instance id; delete it to get a new one")
    return content.decode()


def proof(digest: str, *, nonce: str, instance: str, address: str) -> str:
    """Return the proof for a token's digest; the client computes the same (client/handshake.py)."""
    text = "\n".join(("asgard-instance-1", nonce, instance, address))
    return hmac.new(digest.encode(), text.encode(), hashlib.sha256).hexdigest()
