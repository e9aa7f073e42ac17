"""Checks of the names that become parts of paths.

A name may come from the database or from a directory, which others may be able to write. Every
function that builds a path from such a name checks it here, so no name can lead elsewhere.
"""

import re
from collections.abc import Callable

_JOB_ID = re.compile(r"[0-9a-f]{8}")
_ARCHIVE = re.compile(r"[0-9a-f]{32}\.(?:zip|tar\.gz)")
_ENVIRONMENT_KEY = re.compile(r"[0-9a-f]{20}|once[0-9a-f]{16}")
_CACHE_ENVIRONMENT = re.compile(rf"base|{_ENVIRONMENT_KEY.pattern}")
_OWNER_DIGEST = re.compile(r"[0-9a-f]{16}")
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")


class InvalidName(Exception):
    """A name does not have the form of its kind, so no path may be built from it."""

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"{name[:100]!a} is not a valid {kind}")


def job_id_of(name: str) -> str:
    """Return the name if it is a job's id.

    Raises:
        InvalidName: it is not.
    """
    return _checked(_JOB_ID, "job ID", name)


def archive_of(name: str) -> str:
    """Return the name if it names a stored archive.

    Raises:
        InvalidName: it is not.
    """
    return _checked(_ARCHIVE, "archive name", name)


def environment_key_of(name: str) -> str:
    """Return the name if it is the key of an environment.

    Raises:
        InvalidName: it is not.
    """
    return _checked(_ENVIRONMENT_KEY, "environment key", name)


def cache_environment_of(name: str) -> str:
    """Return the name if it is the key of an environment or of the base environment.

    Raises:
        InvalidName: it is not.
    """
    return _checked(_CACHE_ENVIRONMENT, "environment of a cache", name)


def owner_digest_of(name: str) -> str:
    """Return the name if it is the digest of an owner's name.

    Raises:
        InvalidName: it is not.
    """
    return _checked(_OWNER_DIGEST, "digest of an owner", name)


def attempt_number_of(name: str) -> int:
    """Return the number of an attempt, given the name of its directory.

    Raises:
        InvalidName: it is not a positive number below a thousand million.
    """
    return int(_checked(_NUMBER, "attempt number", name))


def is_valid(check: Callable[[str], object], name: str) -> bool:
    """Return whether one of these functions accepts a name."""
    try:
        check(name)
    except InvalidName:
        return False
    return True


def _checked(pattern: re.Pattern[str], kind: str, name: str) -> str:
    if pattern.fullmatch(name) is None:
        raise InvalidName(kind, name)
    return name
