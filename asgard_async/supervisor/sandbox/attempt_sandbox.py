"""The sandbox of a job's attempt: its user, its caches and its writable directories."""

import contextlib
import stat
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from asgard_async.core.files.chown_tree import chown_tree
from asgard_async.domain.status import Isolation
from asgard_async.supervisor.sandbox.mounts import TEMPORARY, Mount, read, write
from asgard_async.supervisor.sandbox.selector import IsolationSelector
from asgard_async.supervisor.shim.sandbox import SandboxSpec


@dataclass(frozen=True, kw_only=True)
class AttemptSandbox:
    """The isolation of one attempt."""

    level: Isolation
    spec: SandboxSpec | None
    cache: Path
    """Path of the cache directory inside the sandbox."""
    temporary: Path
    """Path of the directory for temporary files inside the sandbox."""
    host_cache: Path | None
    """Path of the cache directory outside of the sandbox; None if it is the service's own."""
    locks: Sequence[Path]
    """Files to lock while the attempt is running."""
    uid: int | None
    """The user that the attempt runs as; None for the service's user."""


@contextlib.contextmanager
def attempt_sandbox(
    selector: IsolationSelector,
    *,
    python: Path,
    environment: Path | None,
    owner: str,
    own: Sequence[Path],
    temporary: Path,
) -> Iterator[AttemptSandbox]:
    """Prepare an attempt's sandbox. Stay in the context until the keeper holds the locks.

    `environment` is the directory of a built environment, `owner` the name of the job's token, and
    `own` the directories that the job may write to. `temporary`, one of them, becomes /tmp in jobs
    that have a file system of their own, since paths of sockets are limited to 107 bytes. Blocks
    for some file operations.

    Raises:
        NoUidLeft: every uid for jobs and builds is in use.
        OSError: a directory cannot be prepared.
    """
    level = selector.selected
    name = environment.name if environment is not None else "base"
    cache_path = selector.cache_of(name)
    if not selector.is_sandboxed:
        yield AttemptSandbox(
            level=level,
            spec=None,
            cache=cache_path,
            temporary=temporary,
            host_cache=None,
            locks=(),
            uid=None,
        )
        return
    cache = selector.caches.of(name, owner)
    with selector.reserve_uid() as uid, selector.caches.opened(cache, uid) as host_cache:
        if uid is not None:
            for path in own:
                chown_tree(path, uid)
            if environment is not None:
                _make_readable(environment)
        if uid is not None and selector.needs_traversal:
            selector.caches.close_others(host_cache, uid)
            for path in (*cache.directory.parents[:2], cache.directory):
                path.chmod(0o711)
        has_own_tmp = level is Isolation.SANDBOX
        if not has_own_tmp:
            cache_path = host_cache
        mounts: list[Mount] = [] if environment is None else [read(environment)]
        mounts += [write(host_cache, cache_path), *map(write, own), *selector.names_of(uid)]
        locks = [cache.lock] if uid is None else [cache.lock, selector.uids.lock_of(uid)]
        yield AttemptSandbox(
            level=level,
            spec=selector.sandbox(mounts, uid=uid, python=python, temporary=temporary),
            cache=cache_path,
            temporary=Path(TEMPORARY) if has_own_tmp else temporary,
            host_cache=host_cache,
            locks=locks,
            uid=uid,
        )


def _make_readable(environment: Path) -> None:
    """Let other users read an environment that was built when jobs ran as the service's user."""
    if not environment.stat().st_mode & stat.S_IROTH:
        # the directory itself last: its mode marks the rest as done
        command = ["/bin/chmod", "-R", "go+rX", *map(str, environment.iterdir())]
        subprocess.run(command, check=True)
        environment.chmod(0o755)
