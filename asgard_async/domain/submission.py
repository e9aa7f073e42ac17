"""A submission as it arrives: its fields are valid, its program is not checked yet."""

from dataclasses import dataclass

from asgard_async.domain.job import JobSpec


@dataclass(frozen=True, kw_only=True)
class UploadedArchive:
    """An archive that was received, and its name in the archive store."""

    name: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A specification with its program: either a script or an archive."""

    spec: JobSpec
    script: bytes = b""
    archive: UploadedArchive | None = None
    idempotency_key: str | None = None
    owner: str = ""
    """The name of the token it was submitted with; empty while the API is open."""
