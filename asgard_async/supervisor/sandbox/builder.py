"""Sandbox specifications: the shim's instructions for confining one process."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from asgard_async.config import IsolationConfig
from asgard_async.domain.status import Isolation
from asgard_async.supervisor.sandbox.mounts import (
    OWN_SETTINGS,
    TEMPORARY,
    Mount,
    hiding,
    interpreter_mounts,
    read,
    system_mounts,
    without_covered,
    write,
)
from asgard_async.supervisor.shim.sandbox import SandboxSpec


class SandboxBuilder:
    """Builds sandbox specifications; computes their common parts once."""

    def __init__(self, config: IsolationConfig, *, private: Iterable[Path]) -> None:
        """`private` are files and directories to hide from all processes, wherever they are."""
        system = system_mounts(tmp_mb=config.tmp_mb, shm_mb=config.shm_mb)
        configured = without_covered(map(read, config.read_only))
        self._base = system
        self._system = [*system, *configured, *map(write, config.read_write)]
        self._private = [*private, Path(OWN_SETTINGS)]

    def sandbox(
        self,
        level: Isolation,
        *,
        python: Path,
        mounts: Sequence[Mount],
        uid: int | None,
        shared: bool = True,
        temporary: Path | None = None,
    ) -> SandboxSpec | None:
        """Return the sandbox of a process at an isolation level; None for level `process`.

        `mounts` are added to the system and the interpreter. `uid` is the user that the process
        becomes; None if the service is not root and the user stays the same. `shared` adds the
        directories that administrators have configured for jobs. `temporary` is a directory to use
        as /tmp in place of memory, where the level has a /tmp of its own.
        """
        if level is Isolation.PROCESS:
            return None
        exposed = [*(self._system if shared else self._base), *interpreter_mounts(python)]
        has_namespaces = level is Isolation.SANDBOX
        # elsewhere, this would open the machine's /tmp
        if temporary is not None and has_namespaces:
            on_disk = write(temporary, TEMPORARY)
            exposed = [on_disk if mount[2] == TEMPORARY else mount for mount in exposed]
        all_mounts = [*exposed, *hiding(exposed, self._private), *mounts]
        rules: list[tuple[str, bool]] = []
        if level is not Isolation.USER:
            rules = _landlock_rules(all_mounts, has_namespaces=has_namespaces)
        return SandboxSpec(
            namespaces=has_namespaces,
            user_namespace=has_namespaces and os.geteuid() != 0,
            mounts=all_mounts if has_namespaces else [],
            uid=-1 if uid is None else uid,
            landlock=rules,
        )

    def landlock_only(self, python: Path, mounts: Sequence[Mount]) -> SandboxSpec:
        """Return a sandbox with Landlock only, for a process that runs no untrusted code.

        Such a process may read untrusted files. It keeps the service's user and cannot access the
        directories that administrators have configured for jobs.
        """
        exposed = [*self._base, *interpreter_mounts(python), *mounts]
        return SandboxSpec(
            namespaces=False,
            user_namespace=False,
            mounts=[],
            uid=-1,
            landlock=_landlock_rules(exposed, has_namespaces=False),
        )


def _landlock_rules(mounts: Sequence[Mount], *, has_namespaces: bool) -> list[tuple[str, bool]]:
    if has_namespaces:
        # The mounts themselves restrict writing. Landlock also prevents signals to processes
        # outside.
        return [("/", True)]
    # here, /tmp and /dev/shm are the machine's; multiprocessing needs the latter
    kinds = {"read": False, "write": True, "device": True}
    rules = [(target, kinds[kind]) for kind, _, target, _ in mounts if kind in kinds]
    return [*rules, ("/proc", False), ("/dev/shm", True)]  # noqa: S108
