"""What `asgard doctor` looks at. Nothing here changes anything."""

import asyncio
import contextlib
import importlib.util
import os
import resource
import sqlite3
import subprocess
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from asgard_async.auth.token_file import TokenFile
from asgard_async.config import Config, ConfigError
from asgard_async.config.data_directory import DataDirectory
from asgard_async.core.files.free_space import FreeSpace
from asgard_async.core.files.locks import is_held
from asgard_async.domain.errors import AsgardError
from asgard_async.mlflow.address import MlflowAddress
from asgard_async.mlflow.artifact_store import check_destination
from asgard_async.mlflow.gateway import MlflowGateway
from asgard_async.store.migrate import packaged_migrations
from asgard_async.supervisor.sandbox.selector import REMEDIES, IsolationSelector

ANSWER_SECONDS = 5.0
FILES_WANTED = 4096


class Level(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Finding(msgspec.Struct, frozen=True):
    """What a check came to."""

    about: str
    level: Level
    found: str
    remedy: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found


async def configuration(config: Config, data: DataDirectory) -> Finding:
    """Look for settings that still work under a former name."""
    if config.warnings:
        return Finding(
            "configuration", Level.WARN, " ".join(config.warnings), "asgard config check"
        )
    return Finding("configuration", Level.OK, "valid")


async def data_directory(config: Config, data: DataDirectory) -> Finding:
    """Whether it is there, ours, and nobody else's to read."""
    about, root = "data directory", data.root
    if not root.exists():
        return Finding(about, Level.OK, f"{root} is made at the first start")
    status = root.stat()
    if status.st_uid != os.geteuid():
        return Finding(
            about,
            Level.FAIL,
            f"{root} belongs to another user (uid {status.st_uid})",
            f"run this as that user, or: chown -R {os.geteuid()} {root}",
        )
    if status.st_mode & 0o066:  # where jobs are other users, they pass through
        return Finding(about, Level.FAIL, f"{root} is open to others", f"chmod 700 {root}")
    if not os.access(root, os.W_OK):
        return Finding(about, Level.FAIL, f"{root} cannot be written", "mount it for writing")
    return Finding(about, Level.OK, str(root))


async def isolation(config: Config, data: DataDirectory) -> Finding:
    """What keeps jobs from harming others, tried here and now."""
    about = "isolation"
    if not data.root.exists():
        return Finding(about, Level.OK, "is tried at the first start")
    if data.root.stat().st_uid != os.geteuid():
        return Finding(
            about, Level.WARN, "is to be tried as the service's user", "run this as that user"
        )
    try:
        selector = IsolationSelector(config, data)
    except ConfigError as error:
        return Finding(about, Level.FAIL, str(error), "see [isolation]: asgard config check")
    level = await selector.examine()
    why = "; ".join(f"{one} does not work: {problem}" for one, problem in selector.problems.items())
    remedies = "; or ".join(REMEDIES[one] for one in selector.problems)
    if level is None:
        return Finding(about, Level.FAIL, why, remedies)
    if selector.problems:
        return Finding(about, Level.WARN, f"{level}, since {why}", remedies)
    return Finding(about, Level.OK, level)


async def disk(config: Config, data: DataDirectory) -> Finding:
    """Whether there is room for jobs."""
    there = next(path for path in (data.root, *data.root.parents) if path.exists())
    space = FreeSpace(there, floor_bytes=config.server.min_free_mb << 20)
    free = f"{space.available_bytes() / 1e9:.1f} GB are free"
    if space.is_short():
        floor = f"[server] min_free_mb = {config.server.min_free_mb}"
        return Finding(
            "disk", Level.FAIL, f"{free}, less than {floor}", "delete old jobs, or make space"
        )
    if space.available_bytes() < 4 * space.floor_bytes:
        return Finding("disk", Level.WARN, free, "delete old jobs, or make space")
    return Finding("disk", Level.OK, free)


async def database(config: Config, data: DataDirectory) -> Finding:
    """Whether this version can use it."""
    about, file, newest = "database", data.database, packaged_migrations()[-1].version
    if not file.exists():
        return Finding(about, Level.OK, "is made at the first start")
    try:
        with contextlib.closing(_read_only(file)) as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            (sound,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        return Finding(about, Level.FAIL, str(error), "restore a backup of 'asgard db backup'")
    if sound != "ok":
        return Finding(about, Level.FAIL, sound, "restore a backup of 'asgard db backup'")
    if version > newest:
        return Finding(
            about, Level.FAIL, f"has schema {version}", "install the version that wrote it"
        )
    behind = f", which the next start makes {newest}" if version < newest else ""
    return Finding(about, Level.OK, f"schema {version}{behind}")


async def clock(config: Config, data: DataDirectory) -> Finding:
    """Whether time runs on from where the last job was made."""
    if not data.database.exists():
        return Finding("clock", Level.OK, time.strftime("%Y-%m-%d %H:%M:%S %z"))
    with contextlib.suppress(sqlite3.Error), contextlib.closing(_read_only(data.database)) as found:
        (text,) = found.execute("SELECT max(created_at) FROM jobs").fetchone()
        if text and (ahead := datetime.fromisoformat(text).timestamp() - time.time()) > 1:
            return Finding(
                "clock",
                Level.FAIL,
                f"the newest job was made {ahead:.0f} s in the future",
                "set the clock (timedatectl set-ntp true); job times and order follow it",
            )
    return Finding("clock", Level.OK, time.strftime("%Y-%m-%d %H:%M:%S %z"))


async def uv(config: Config, data: DataDirectory) -> Finding:
    """Whether environments can be built."""
    from uv import find_uv_bin

    try:
        done = await asyncio.to_thread(
            subprocess.run,
            [find_uv_bin(), "--version"],
            capture_output=True,
            text=True,
            check=True,
            timeout=ANSWER_SECONDS,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return Finding("uv", Level.FAIL, str(error), "pip install --force-reinstall uv")
    return Finding("uv", Level.OK, done.stdout.strip())


async def mlflow(config: Config, data: DataDirectory) -> Finding:
    """Whether the configured one answers and stores artifacts; the service watches the embedded."""
    if config.mlflow.embedded:
        if importlib.util.find_spec("mlflow") is None:
            return Finding("MLflow", Level.FAIL, "is not installed", "pip install mlflow")
        try:
            check_destination(config)
        except ConfigError as error:
            return Finding("MLflow", Level.FAIL, str(error))
        return Finding("MLflow", Level.OK, "embedded, started and watched by the service")
    address = MlflowAddress.configured(config.mlflow)
    try:
        async with MlflowGateway(address, timeout_seconds=ANSWER_SECONDS) as gateway:
            await gateway.active_experiment_ids()
            artifacts_problem = await _artifacts_problem(gateway)
    except AsgardError as error:
        return Finding(
            "MLflow",
            Level.FAIL,
            str(error),
            "see [mlflow] tracking_uri, username, password and token: asgard config check",
        )
    if artifacts_problem:
        return Finding("MLflow", Level.WARN, artifacts_problem, "see 'MLflow and artifacts', docs")
    return Finding("MLflow", Level.OK, f"{address.public_uri} answers")


async def _artifacts_problem(gateway: MlflowGateway) -> str:
    try:
        await gateway.look_into_artifacts()
    except AsgardError as error:
        return f"its artifacts: {error}"
    return ""


async def access(config: Config, data: DataDirectory) -> Finding:
    """Whether anybody may come in."""
    about, tokens = "access", TokenFile(data.tokens)
    try:
        if tokens.is_closed():
            # one made as root, say, which the service cannot read
            if (owner := data.tokens.stat().st_uid) != data.root.stat().st_uid:
                found = f"{data.tokens} belongs to another user (uid {owner}) than its directory"
                return Finding(about, Level.FAIL, found, _give_back(data.tokens))
            return Finding(about, Level.OK, f"by {len(tokens.all())} tokens")
    except (ConfigError, OSError) as error:
        # removing it would open the API to everybody
        remedy = f"copy {data.tokens.name} from a backup of 'asgard db backup' to {data.root}"
        if isinstance(error.__cause__, OSError):
            remedy = _give_back(data.tokens)
        return Finding(about, Level.FAIL, f"{error}; nobody is let in", remedy)
    return Finding(
        about,
        Level.WARN,
        f"open to whoever reaches {config.server.host}, the jobs included",
        "asgard token create",
    )


def _give_back(file: Path) -> str:
    return f"as root: chown {file.parent.stat().st_uid} {file} && chmod 600 {file}"


async def open_files(config: Config, data: DataDirectory) -> Finding:
    """Whether there may be enough of them for many clients and jobs."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < FILES_WANTED:
        return Finding(
            "open files",
            Level.WARN,
            f"at most {soft}",
            f"ulimit -n {FILES_WANTED}, or LimitNOFILE= in the unit",
        )
    return Finding("open files", Level.OK, f"at most {soft}")


async def service(config: Config, data: DataDirectory) -> Finding:
    """Whether it runs, and takes jobs."""
    about = "service"
    if not _runs(data):
        return Finding(about, Level.WARN, "does not run on this data directory", "asgard serve")
    url = _ready_url(config)
    document = await ready_document(config, data)
    if document is None:
        return Finding(
            about,
            Level.WARN,
            f"runs, but does not answer at {url}",
            "if it was started with another --host or --port, give them here as"
            " ASGARD_SERVER__HOST and ASGARD_SERVER__PORT",
        )
    if document["status"] != "ready":
        return Finding(about, Level.FAIL, document["detail"], "its log tells more")
    return Finding(about, Level.OK, f"takes jobs at {url.removesuffix('/health/ready')}")


async def ready_document(config: Config, data: DataDirectory) -> dict[str, Any] | None:
    """What /health/ready says; None where no service runs, or it does not answer."""
    if not _runs(data):
        return None
    try:
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(_ready_url(config)) as answer,
        ):
            document: dict[str, Any] = await answer.json(content_type=None)
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return None
    return document


def _runs(data: DataDirectory) -> bool:
    return data.service_lock.exists() and is_held(data.service_lock)


def _ready_url(config: Config) -> str:
    host, port = config.server.host, config.server.port
    return f"http://{'127.0.0.1' if host in {'0.0.0.0', '::'} else host}:{port}/health/ready"  # noqa: S104


def _read_only(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=ANSWER_SECONDS)


Check = Callable[[Config, DataDirectory], Awaitable[Finding]]

CHECKS: tuple[Check, ...] = (
    configuration,
    service,
    access,
    data_directory,
    isolation,
    disk,
    database,
    clock,
    mlflow,
    uv,
    open_files,
)
"""In the order in which they are shown."""
