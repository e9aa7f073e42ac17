"""Direct references, `name @ address`: which addresses are taken, and which stay what they are."""

import re
from urllib.parse import urlsplit

# Printable ASCII without what uv reads as more than an address in a requirements file (white space,
# `${VARIABLE}`, a backslash at the end), and without quotes.
_ADDRESS = re.compile(r"[A-Za-z0-9\-._~:/?#@!&*+,;=%\[\]()]+")
_COMMIT = re.compile(r"@[0-9a-f]{40}\Z")
_SHA256 = re.compile(r"(?:\A|&)sha256=[0-9a-f]{64}(?:&|\Z)")


def what_is_wrong_with(address: str) -> str | None:
    """Why an address cannot be taken, as the end of a sentence that does not repeat it; or None."""
    if not _ADDRESS.fullmatch(address):
        return "has an address with characters that must be written as %XX."
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "has an address that is none."
    match parts.scheme:
        case "https" | "git+https" if host:
            if "@-" in parts.path:
                return "names a branch that begins with '-'."
            return None
        case "file" if not parts.netloc and parts.path.startswith("/"):
            return None
    return "points to a place other than https://…, git+https://… and file:///…"


def is_fixed(address: str) -> bool:
    """Whether what lies there can be only one thing: a full commit, or a file with its SHA-256."""
    parts = urlsplit(address)
    if parts.scheme == "git+https":
        return bool(_COMMIT.search(parts.path))
    return bool(_SHA256.search(parts.fragment))
