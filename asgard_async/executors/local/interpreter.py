"""The interpreter of an attempt on this machine."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from asgard_async.environments.cache import CachedEnvironment


@dataclass(frozen=True, kw_only=True)
class Interpreter:
    """The interpreter of a built environment, or of the base environment (None)."""

    environment: CachedEnvironment | None = None

    @property
    def is_base(self) -> bool:
        return self.environment is None

    @property
    def name(self) -> str:
        """The name of the interpreter's environment."""
        return self.environment.key if self.environment is not None else "base"

    @property
    def python(self) -> Path:
        """The executable. In a built environment, it is a link that must not be resolved."""
        return self.environment.python if self.environment is not None else Path(sys.executable)

    @property
    def directory(self) -> Path | None:
        """The directory of a built environment; None for the base."""
        return self.environment.directory if self.environment is not None else None

    @property
    def locks(self) -> Sequence[Path]:
        """Files to lock (shared) during use, so that the environment is not deleted."""
        return [self.environment.lock] if self.environment is not None else []
