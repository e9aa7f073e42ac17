"""The check of the running service."""

from typing import Any

import aiohttp

from asgard_async.cli.checks.finding import Finding, Level
from asgard_async.config import Config
from asgard_async.config.data_directory import DataDirectory
from asgard_async.core.files.locks import is_held

RESPONSE_SECONDS = 5.0


async def service(config: Config, data: DataDirectory) -> Finding:
    """Check that the service is running and accepts jobs."""
    about = "service"
    if not _is_running(data):
        return Finding(about, Level.WARN, "is not running on this data directory", "asgard serve")
    url = _ready_url(config)
    document = await ready_document(config, data)
    if document is None:
        return Finding(
            about,
            Level.WARN,
            f"is running, but does not answer at {url}",
            "if it was started with another --host or --port, set ASGARD_SERVER__HOST and"
            " ASGARD_SERVER__PORT for this command",
        )
    if document["status"] != "ready":
        return Finding(about, Level.FAIL, document["detail"], "see its log for details")
    return Finding(about, Level.OK, f"accepts jobs at {url.removesuffix('/health/ready')}")


async def ready_document(config: Config, data: DataDirectory) -> dict[str, Any] | None:
    """Return the response of /health/ready; None if the service is down or does not answer."""
    if not _is_running(data):
        return None
    try:
        timeout = aiohttp.ClientTimeout(total=RESPONSE_SECONDS)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(_ready_url(config)) as response,
        ):
            document: dict[str, Any] = await response.json(content_type=None)
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return None
    return document


def _is_running(data: DataDirectory) -> bool:
    return data.service_lock.exists() and is_held(data.service_lock)


def _ready_url(config: Config) -> str:
    host, port = config.server.host, config.server.port
    return f"http://{'127.0.0.1' if host in {'0.0.0.0', '::'} else host}:{port}/health/ready"  # noqa: S104
