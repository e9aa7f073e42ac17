"""A submission with validated fields, whose program has not been checked yet."""

from dataclasses import dataclass

from asgard_async.domain.job import JobSpec
from asgard_async.domain.requester import ANYONE, Requester


@dataclass(frozen=True, kw_only=True)
class UploadedArchive:
    """A received archive, with its name in the archive store."""

    name: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A specification with its program: either a script or an archive."""

    spec: JobSpec
    script: bytes = b""
    archive: UploadedArchive | None = None
    idempotency_key: str | None = None
    requester: Requester = ANYONE


@dataclass(frozen=True, kw_only=True)
class Revision:
    """A specification for a retry, which may differ from that of the original job."""

    spec: JobSpec
    script: bytes | None = None
    """A new script; None to keep the original program."""
    changed: tuple[str, ...] = ()
    """The names of the fields that differ, such as "timeout" or "environment_vars.EPOCHS"."""
    idempotency_key: str | None = None
