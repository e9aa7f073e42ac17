"""The walls of one attempt: what the shim is told to put round it."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from asgard_async.config import IsolationConfig
from asgard_async.domain.status import Isolation
from asgard_async.supervisor.sandbox.mounts import (
    OWN_SETTINGS,
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
    """Works out walls. What is the same for all attempts is worked out once."""

    def __init__(self, config: IsolationConfig, *, private: Iterable[Path]) -> None:
        """`private` are files and directories that nobody is shown, wherever they lie."""
        system = system_mounts(tmp_mb=config.tmp_mb, shm_mb=config.shm_mb)
        further = without_covered(map(read, config.read_only))
        self._base = system
        self._system = [*system, *further, *map(write, config.read_write)]
        self._private = [*private, Path(OWN_SETTINGS)]

    def sandbox(
        self,
        level: Isolation,
        *,
        python: Path,
        mounts: Sequence[Mount],
        uid: int | None,
        shared: bool = True,
    ) -> SandboxSpec | None:
        """The walls on a rung, or None where there are none.

        `mounts` are what it is shown beside the system and its interpreter. `uid` is the user that
        it becomes; None where the service is not root, and it stays the same. `shared` is whether
        it is also shown what administrators give to jobs.
        """
        if level is Isolation.PROCESS:
            return None
        shown = [*(self._system if shared else self._base), *interpreter_mounts(python)]
        every = [*shown, *hiding(shown, self._private), *mounts]
        is_boxed = level is Isolation.SANDBOX
        return SandboxSpec(
            namespaces=is_boxed,
            user_namespace=is_boxed and os.geteuid() != 0,
            mounts=every if is_boxed else [],
            uid=-1 if uid is None else uid,
            landlock=_as_rules(every, is_boxed=is_boxed) if level is not Isolation.USER else [],
        )

    def landlock_only(self, python: Path, mounts: Sequence[Mount]) -> SandboxSpec:
        """Landlock alone, round what runs no foreign code but takes in foreign files.

        It stays the service's user. Nothing that administrators give to jobs is shown.
        """
        shown = [*self._base, *interpreter_mounts(python), *mounts]
        return SandboxSpec(
            namespaces=False,
            user_namespace=False,
            mounts=[],
            uid=-1,
            landlock=_as_rules(shown, is_boxed=False),
        )


def _as_rules(mounts: Sequence[Mount], *, is_boxed: bool) -> list[tuple[str, bool]]:
    if is_boxed:
        # the mounts themselves say what can be written; Landlock adds what they cannot tell, that
        # nothing is signalled outside
        return [("/", True)]
    # /tmp and /dev/shm are the machine's here; without the latter there is no multiprocessing
    kinds = {"read": False, "write": True, "device": True}
    rules = [(target, kinds[kind]) for kind, _, target, _ in mounts if kind in kinds]
    return [*rules, ("/proc", False), ("/dev/shm", True)]  # noqa: S108
