"""Sandboxes of the service's own processes: environment builds and the embedded MLflow server."""

import contextlib
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from asgard_async.core.files.chown_tree import chown_tree
from asgard_async.core.files.descent import open_below
from asgard_async.supervisor.sandbox.mounts import Mount, read, write
from asgard_async.supervisor.sandbox.selector import IsolationSelector
from asgard_async.supervisor.shim.sandbox import SandboxSpec

logger = logging.getLogger(__name__)

CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE")
"""Environment variables with the paths of files that everyone may read."""


@dataclass(frozen=True, kw_only=True)
class ServiceSandbox:
    """The isolation of one of the service's own processes."""

    spec: SandboxSpec | None
    locks: Sequence[Path] = ()
    """Files to lock while the process is running."""
    landlock_only: SandboxSpec | None = None
    """A weaker sandbox for the steps that run no untrusted code."""


@contextlib.contextmanager
def build_sandbox(
    selector: IsolationSelector, *, staging: Path, uv_cache: Path
) -> Iterator[ServiceSandbox]:
    """Prepare a build's sandbox. Stay in the context until the keeper holds the locks.

    Untrusted code can write only to `staging`; uv can also write to its cache. Blocks for some file
    operations.

    Raises:
        NoUidLeft: every uid for jobs and builds is in use.
        OSError: a directory cannot be prepared.
    """
    if not selector.is_sandboxed:
        yield ServiceSandbox(spec=None)
        return
    uv_cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    if selector.needs_traversal:
        for path in (staging.parent, staging.parent.parent):
            path.chmod(0o711)
    exposed = [write(staging), *_certificates()]
    with selector.reserve_uid() as uid:
        yield ServiceSandbox(
            spec=selector.sandbox([*exposed, *selector.names_of(uid)], uid=uid),
            locks=() if uid is None else (selector.uids.lock_of(uid),),
            landlock_only=selector.landlock_only([*exposed, write(uv_cache)]),
        )


def mlflow_sandbox(
    selector: IsolationSelector, *, store: Path, program: Sequence[Path], artifacts: Sequence[Path]
) -> ServiceSandbox:
    """Prepare the sandbox of the embedded MLflow server.

    The server can write to its `store`, and to the directories `artifacts` outside of it. Blocks,
    especially when the service runs as root for the first time and changes the owner of the store.

    Raises:
        OSError: a directory cannot be prepared.
    """
    uid = selector.mlflow_uid
    if not selector.is_sandboxed:
        return ServiceSandbox(spec=None)
    for path in (store, *artifacts):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if uid is not None:
        _give(store, uid)
        for path in artifacts:
            # outside of the data directory, existing files may belong to other users
            if not _give_if_empty(path, uid):
                logger.warning("%s must belong to user %d, which runs MLflow: chown -R", path, uid)
    exposed = [*map(read, program), *map(write, (store, *artifacts)), *_certificates()]
    # without the directories shared by jobs: links that a job created there could misdirect MLflow
    spec = selector.sandbox([*exposed, *selector.names_of(uid)], uid=uid, shared=False)
    if spec is not None:
        # MLflow does not need /proc, which exposes the store's credentials in its environment
        spec["mounts"] = [mount for mount in spec["mounts"] if mount[0] != "proc"]
        spec["landlock"] = [rule for rule in spec["landlock"] if rule[0] != "/proc"]
    locks = () if uid is None else (selector.uids.lock_of(uid),)
    return ServiceSandbox(spec=spec, locks=locks)


def _certificates() -> list[Mount]:
    named = (os.environ.get(name, "") for name in CERTIFICATES)
    return [read(path) for path in map(Path, filter(None, named)) if path.exists()]


def _give(path: Path, uid: int) -> None:
    if path.lstat().st_uid != uid:
        # the directory itself changes its owner last, which marks the rest as done
        chown_tree(path, uid)


def _give_if_empty(path: Path, uid: int) -> bool:
    """Give an empty directory of root to a user; return whether it belongs to the user."""
    directory = open_below(str(path))
    try:
        owner = os.fstat(directory).st_uid
        if owner == os.geteuid() and not os.listdir(directory):  # noqa: PTH208
            os.fchown(directory, uid, uid)
            return True
        return owner == uid
    finally:
        os.close(directory)
