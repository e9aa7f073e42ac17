"""Direct references (`name @ address`): accepted addresses, and addresses with fixed content."""

import re
from urllib.parse import urlsplit

# Printable ASCII without quotes, and without characters that uv treats specially in a requirements
# file (white space, `${VARIABLE}`, a backslash at the end).
_ADDRESS = re.compile(r"[A-Za-z0-9\-._~:/?#@!&*+,;=%\[\]()]+")
_COMMIT = re.compile(r"@[0-9a-f]{40}\Z")
_SHA256 = re.compile(r"(?:\A|&)sha256=[0-9a-f]{64}(?:&|\Z)")


def problem_with(address: str) -> str | None:
    """Return why an address is rejected, as the end of a sentence; None if it is accepted."""
    if not _ADDRESS.fullmatch(address):
        return "has an address with characters that must be percent-encoded (%XX)."
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "has an invalid address."
    match parts.scheme:
        case "https" | "git+https" if host:
            if "@-" in parts.path:
                return "names a branch that starts with '-'."
            return None
        case "file" if not parts.netloc and parts.path.startswith("/"):
            return None
    return "must point to https://…, git+https://… or file:///…"


def is_fixed(address: str) -> bool:
    """Return whether the content cannot change: a full commit id, or a file with its SHA-256."""
    parts = urlsplit(address)
    if parts.scheme == "git+https":
        return bool(_COMMIT.search(parts.path))
    return bool(_SHA256.search(parts.fragment))
