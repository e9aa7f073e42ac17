"""What `asgard doctor` says of the limits of jobs."""

import asyncio

from asgard_async.cli.checks import Finding, Level, ready_document
from asgard_async.config import Config
from asgard_async.config.data_directory import DataDirectory
from asgard_async.supervisor.limits.enforcer import ADVICE, Mechanism
from asgard_async.supervisor.limits.hierarchies import find

NEED_GROUPS = ("memory", "cpus", "processes")
CONTROLLERS = {"memory": "memory", "cpus": "cpu", "processes": "pids"}


async def limits(config: Config, data: DataDirectory) -> Finding:
    """By what they are kept: as the service says, or as they would be from this terminal."""
    about = "limits"
    if config.limits.cgroups == "off":
        return Finding(about, Level.WARN, "no control groups: [limits] cgroups is off")
    document = await ready_document(config, data)
    if document is not None and "limits" in document:
        kept: dict[str, str] = document["limits"]
        missing = [name for name in NEED_GROUPS if not kept[name].startswith("cgroup")]
        found = ", ".join(f"{name} by {by}" for name, by in kept.items())
    else:
        kept = await asyncio.to_thread(_would_keep)
        missing = [name for name in NEED_GROUPS if name not in kept]
        told = ", ".join(f"{name} by {by}" for name, by in kept.items()) or "no control groups"
        found = f"{told} (as a service started from here)"
    if missing:
        return Finding(about, Level.WARN, f"{found}; not limited: {', '.join(missing)}", ADVICE)
    return Finding(about, Level.OK, found)


def _would_keep() -> dict[str, str]:
    try:
        hierarchies = find()
    except OSError:
        return {}
    return {
        limit: Mechanism.CGROUP_V2 if hierarchy.version == 2 else Mechanism.CGROUP_V1
        for limit, controller in CONTROLLERS.items()
        for hierarchy in reversed(hierarchies)
        if controller in hierarchy.controllers
    }
