"""Checks of the machine: isolation, limits, uv, open files."""

import asyncio
import os
import resource
import subprocess
from collections.abc import Mapping

from asgard_async.cli.checks.finding import Finding, Level
from asgard_async.cli.checks.service import ready_document
from asgard_async.config import Config, ConfigError
from asgard_async.config.data_directory import DataDirectory
from asgard_async.supervisor.limits.enforcer import ADVICE
from asgard_async.supervisor.limits.hierarchies import find
from asgard_async.supervisor.limits.mechanisms import CONTROLLERS, Mechanism, cgroup_mechanism
from asgard_async.supervisor.process_spec import MINIMAL_ENVIRONMENT
from asgard_async.supervisor.sandbox.selector import REMEDIES, IsolationSelector

UV_SECONDS = 5.0
RECOMMENDED_OPEN_FILES = 4096


async def isolation(config: Config, data: DataDirectory) -> Finding:
    """Try the isolation levels on this machine, and report the level that jobs get."""
    about = "isolation"
    if not data.root.exists():
        return Finding(about, Level.OK, "is tested at the first start")
    if data.root.stat().st_uid != os.geteuid():
        return Finding(
            about,
            Level.WARN,
            "can only be tested as the service's user",
            "run this as that user",
        )
    try:
        selector = IsolationSelector(config, data)
    except ConfigError as error:
        return Finding(about, Level.FAIL, str(error), "check [isolation]: asgard config check")
    level = await selector.examine()
    problems = "; ".join(
        f"{name} does not work: {problem}" for name, problem in selector.problems.items()
    )
    remedies = "; or ".join(REMEDIES[name] for name in selector.problems)
    if level is None:
        return Finding(about, Level.FAIL, problems, remedies)
    if selector.problems:
        return Finding(about, Level.WARN, f"{level}, because {problems}", remedies)
    return Finding(about, Level.OK, level)


async def limits(config: Config, data: DataDirectory) -> Finding:
    """Report how the running service enforces limits, or a service started from here would."""
    about = "limits"
    if config.limits.cgroups == "off":
        return Finding(about, Level.WARN, "no control groups: [limits] cgroups is off")
    document = await ready_document(config, data)
    if document is not None and "limits" in document:
        mechanisms: Mapping[str, str] = document["limits"]
        missing = [name for name in CONTROLLERS if not mechanisms[name].startswith("cgroup")]
        summary = ", ".join(f"{name} by {by}" for name, by in mechanisms.items())
    else:
        mechanisms = await asyncio.to_thread(_available_mechanisms)
        missing = [name for name in CONTROLLERS if name not in mechanisms]
        available = ", ".join(f"{name} by {by}" for name, by in mechanisms.items())
        summary = f"{available or 'no control groups'} (for a service started from here)"
    if missing:
        return Finding(about, Level.WARN, f"{summary}; not limited: {', '.join(missing)}", ADVICE)
    return Finding(about, Level.OK, summary)


def _available_mechanisms() -> dict[str, Mechanism]:
    try:
        hierarchies = find()
    except OSError:
        return {}
    return {
        limit: mechanism
        for limit in CONTROLLERS
        if (mechanism := cgroup_mechanism(limit, hierarchies)) is not None
    }


async def uv(config: Config, data: DataDirectory) -> Finding:
    """Check that uv, which builds the environments of jobs, can be run."""
    from uv import find_uv_bin

    try:
        result = await asyncio.to_thread(
            subprocess.run,
            [find_uv_bin(), "--version"],
            capture_output=True,
            text=True,
            check=True,
            timeout=UV_SECONDS,
            # none of root's: as the owner of the data directory, uv shows them to that user
            env=MINIMAL_ENVIRONMENT,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return Finding("uv", Level.FAIL, str(error), "pip install --force-reinstall uv")
    return Finding("uv", Level.OK, result.stdout.strip())


async def open_files(config: Config, data: DataDirectory) -> Finding:
    """Check that the limit on open files is high enough for many clients and jobs."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < RECOMMENDED_OPEN_FILES:
        return Finding(
            "open files",
            Level.WARN,
            f"at most {soft}",
            f"ulimit -n {RECOMMENDED_OPEN_FILES}, or LimitNOFILE= in the systemd unit",
        )
    return Finding("open files", Level.OK, f"at most {soft}")
