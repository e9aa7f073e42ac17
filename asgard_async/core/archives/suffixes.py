"""File name suffixes of archives. The client has a copy, since it cannot import this module."""

from collections.abc import Mapping
from typing import Final

ZIP: Final = ".zip"
TAR_GZ: Final = ".tar.gz"

SUFFIXES: Final[Mapping[str, str]] = {".zip": ZIP, ".tar.gz": TAR_GZ, ".tgz": TAR_GZ}
"""Accepted suffix → the suffix that the archive is stored under."""


def accepted_suffix(file_name: str) -> str | None:
    """Return the suffix of an archive's file name, in lower case; None if it is not accepted."""
    lower = file_name.lower()
    return next((suffix for suffix in SUFFIXES if lower.endswith(suffix)), None)
