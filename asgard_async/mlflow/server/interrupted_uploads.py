"""Removal of what uploads left behind when the server was killed.

MLflow writes an artifact under a temporary name beside its final one. (What it puts into TMPDIR is
removed before each start.)
"""

import contextlib
import os
import posixpath
from collections.abc import Iterable
from urllib.parse import unquote, urlsplit

from asgard_async.core.files.descent import open_below

TEMPORARY_PREFIX = ".artifact.uploading."
"""MLflow's `_TEMP_ARTIFACT_PREFIX`, which a test compares."""


def remove_interrupted(artifacts: str, paths: Iterable[str]) -> None:
    """Remove the temporary files beside artifacts; call before any upload begins.

    `artifacts` is the store of all artifacts: nothing remains in one that is not a directory.
    `paths` are relative to it.
    """
    parts = urlsplit(artifacts)
    if parts.scheme not in {"", "file"}:
        return
    artifacts = unquote(parts.path) if parts.scheme else artifacts
    for directory in {posixpath.dirname(path) for path in paths}:
        with contextlib.suppress(OSError):  # it was removed, or was never made
            _remove_from(artifacts, directory)


def _remove_from(artifacts: str, directory: str) -> None:
    descriptor = open_below(artifacts, *filter(None, directory.split("/")))
    try:
        with os.scandir(descriptor) as entries:
            names = [entry.name for entry in entries if entry.name.startswith(TEMPORARY_PREFIX)]
        for name in names:
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=descriptor)
    finally:
        os.close(descriptor)
