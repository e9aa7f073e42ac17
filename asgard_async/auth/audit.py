"""The audit log: one line of JSON for each request that may change something.

The file may be moved at any time (logrotate's default); the next entry creates a new one.
"""

import logging
import logging.handlers
from pathlib import Path
from typing import IO, Any

import msgspec

from asgard_async.core.files.ownership import open_private

logger = logging.getLogger(__name__)


class AuditLog:
    """Appends to the audit log of a data directory; call `close` at the end."""

    def __init__(self, file: Path) -> None:
        self._handler = _Handler(file, encoding="utf-8", delay=True)

    def write(self, **entry: Any) -> None:
        """Append a line. A failure is logged and does not fail the request."""
        text = msgspec.json.encode(entry).decode()
        self._handler.handle(logging.LogRecord("audit", logging.INFO, "", 0, text, (), None))

    def close(self) -> None:
        self._handler.close()


class _Handler(logging.handlers.WatchedFileHandler):
    def _open(self) -> IO[str]:  # type: ignore[override]  # a text file; typeshed declares the class
        return open(  # Path.open has no opener
            self.baseFilename, "a", encoding="utf-8", opener=_private
        )

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # logging's name
        logger.exception("cannot write the audit log; lost: %s", record.getMessage())


def _private(path: str, flags: int) -> int:
    return open_private(Path(path), flags)
