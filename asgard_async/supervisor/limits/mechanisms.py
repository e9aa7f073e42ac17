"""The means by which limits are enforced, and the control group controller of each limit."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Protocol

CONTROLLERS = {"memory": "memory", "cpus": "cpu", "processes": "pids"}
"""The limits that a control group can enforce, and the controllers that enforce them."""


class Mechanism(StrEnum):
    """The means by which a limit is enforced."""

    CGROUP_V2 = "cgroup v2"
    CGROUP_V1 = "cgroup v1"
    RLIMITS = "rlimits"
    WATCHING = "watching"
    """The shim measures the usage periodically."""
    NOTHING = "nothing"


class Controlling(Protocol):
    """A hierarchy of control groups, or a group in it."""

    @property
    def version(self) -> int:
        """The version of control groups: 1 or 2."""

    @property
    def controllers(self) -> frozenset[str]:
        """The controllers that limit groups here."""


def cgroup_mechanism(limit: str, hierarchies: Iterable[Controlling]) -> Mechanism | None:
    """Return the mechanism of the first hierarchy that can enforce the limit; None without one."""
    for hierarchy in hierarchies:
        if CONTROLLERS[limit] in hierarchy.controllers:
            return Mechanism.CGROUP_V2 if hierarchy.version == 2 else Mechanism.CGROUP_V1
    return None
