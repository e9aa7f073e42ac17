"""The walls of what the service runs itself: builds of environments, and the embedded MLflow."""

import contextlib
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from asgard_async.supervisor.sandbox.mounts import Mount, read, write
from asgard_async.supervisor.sandbox.selector import IsolationSelector
from asgard_async.supervisor.sandbox.uids import give
from asgard_async.supervisor.shim.sandbox import SandboxSpec

logger = logging.getLogger(__name__)

CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE")
"""Variables that name files which everybody may read."""


@dataclass(frozen=True, kw_only=True)
class ServiceSandbox:
    """What is put round a program."""

    sandbox: SandboxSpec | None
    held: Sequence[Path] = ()
    """Files to be locked as long as it lives."""
    landlock_only: SandboxSpec | None = None
    """What is put round that part of it that runs no foreign code."""


@contextlib.contextmanager
def build_sandbox(
    selector: IsolationSelector, *, staging: Path, uv_cache: Path
) -> Iterator[ServiceSandbox]:
    """What a build gets; its keeper has it in the end. Blocks, for some file calls.

    Foreign code writes to `staging` alone, uv by itself to its cache, too.

    Raises:
        NoUidLeft, OSError: see there.
    """
    if not selector.is_sandboxed:
        yield ServiceSandbox(sandbox=None)
        return
    uv_cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    if selector.is_passed_through:
        for path in (staging.parent, staging.parent.parent):
            path.chmod(0o711)
    shown = [write(staging), *_certificates()]
    with selector.user() as uid:
        yield ServiceSandbox(
            sandbox=selector.sandbox([*shown, *_names(selector, uid)], uid=uid),
            held=() if uid is None else (selector.lock_of(uid),),
            landlock_only=selector.landlock_only([*shown, write(uv_cache)]),
        )


def mlflow_sandbox(
    selector: IsolationSelector, *, store: Path, program: Path, places: Sequence[Path]
) -> ServiceSandbox:
    """What the embedded MLflow gets, which writes to `store` and other `places`.

    Blocks: where the service is root, the store becomes that of another user, file by file, the
    first time.

    Raises:
        OSError: see there.
    """
    uid = selector.mlflow_uid
    if not selector.is_sandboxed:
        return ServiceSandbox(sandbox=None)
    for path in (store, *places):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if uid is not None:
        _hand_over(store, uid)
        for path in places:
            # not ours: what lies there may be anybody's
            if not any(path.iterdir()):
                _hand_over(path, uid)
            elif path.stat().st_uid != uid:
                logger.warning("%s must belong to user %d, who MLflow is: chown -R", path, uid)
    shown = [read(program), *map(write, (store, *places)), *_certificates()]
    # not what jobs share: links that they plant there would lead it about in its own store
    sandbox = selector.sandbox([*shown, *_names(selector, uid)], uid=uid, shared=False)
    if sandbox is not None:
        # nothing there is needed, and its variables hold the credentials of the store
        sandbox["mounts"] = [mount for mount in sandbox["mounts"] if mount[0] != "proc"]
        sandbox["landlock"] = [rule for rule in sandbox["landlock"] if rule[0] != "/proc"]
    return ServiceSandbox(sandbox=sandbox, held=() if uid is None else (selector.lock_of(uid),))


def _names(selector: IsolationSelector, uid: int | None) -> list[Mount]:
    return [] if uid is None else selector.names(uid)


def _certificates() -> list[Mount]:
    named = (os.environ.get(name, "") for name in CERTIFICATES)
    return [read(path) for path in map(Path, filter(None, named)) if path.exists()]


def _hand_over(path: Path, uid: int) -> None:
    if path.lstat().st_uid != uid:
        for below in path.iterdir():
            give(below, uid)
        # last: by this it is told that all is done
        os.lchown(path, uid, uid)
