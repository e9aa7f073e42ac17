"""The result of a check."""

from enum import StrEnum
from typing import Any

import msgspec


class Level(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Finding(msgspec.Struct, frozen=True):
    """The result of a check: its subject, level, finding and remedy."""

    about: str
    level: Level
    found: str
    remedy: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the finding as built-in types, for JSON."""
        document: dict[str, Any] = msgspec.to_builtins(self)
        return document
