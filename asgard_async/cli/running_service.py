"""The data directory of a running service, by its address in ASGARD_URL.

The service tells it only to its own user. What the server at the address says is checked, since any
program may listen there: the directory must be this user's and in use by a service with that id.
"""

import http.client
import ipaddress
import json
import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import click

URL_VARIABLE = "ASGARD_URL"
RESPONSE_SECONDS = 5.0
MAX_RESPONSE_BYTES = 1 << 20


def local_address() -> tuple[str, int] | None:
    """Return host and port in ASGARD_URL if they are this machine's; None otherwise."""
    try:
        parts = urlsplit(os.environ.get(URL_VARIABLE, "").strip())
        host, port = parts.hostname or "", parts.port or 80
    except ValueError:
        return None
    if parts.scheme != "http" or not _is_loopback(host):
        return None
    return host, port


def directory_at(host: str, port: int, *, is_own: Callable[[Path, str], bool]) -> Path:
    """Return the data directory of the service at a loopback address.

    `is_own` checks that a directory is this user's, and in use by the service with an id.

    Raises:
        click.ClickException: nothing answers, or it is not a service of this user.
    """
    where = f"{URL_VARIABLE} ({host}, port {port})"
    remedy = f"name the data directory with --data-dir, or unset {URL_VARIABLE}"
    try:
        document = _ask(host, port)
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no Asgard answers"
        raise click.ClickException(f"No service answers at {where}: {reason}; {remedy}") from error
    path, instance = document.get("data_dir"), document.get("instance")
    if not isinstance(path, str) or not isinstance(instance, str):
        raise click.ClickException(
            f"The service at {where} does not tell its data directory: it belongs to another user,"
            f" or is older or stopped; {remedy}"
        )
    if not is_own(Path(path), instance):
        raise click.ClickException(
            f"The server at {where} names a data directory that is not its own; {remedy}"
        )
    return Path(path)


def _ask(host: str, port: int) -> dict[str, object]:
    connection = http.client.HTTPConnection(host, port, timeout=RESPONSE_SECONDS)
    try:
        connection.request("GET", "/health/ready")
        document = json.loads(connection.getresponse().read(MAX_RESPONSE_BYTES))
    finally:
        connection.close()
    return document if isinstance(document, dict) else {}


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
