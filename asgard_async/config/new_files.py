"""The files that a start makes in the data directory, so that a failed start leaves none."""

import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from asgard_async.core.files.remove_tree import remove_tree

KEPT = "tokens.json"
"""Other commands may make it, and its companions, at any time."""


@dataclass(frozen=True, kw_only=True)
class NewFiles:
    """The state of a data directory before a start. Its parents are part of it."""

    root: Path
    names: frozenset[str] | None
    """The entries of the directory; None if it did not exist."""
    missing_parents: tuple[Path, ...]

    @classmethod
    def since_now(cls, root: Path) -> Self:
        """Record the present state."""
        try:
            names = frozenset(os.listdir(root))  # noqa: PTH208  # only names are needed
        except OSError:
            names = None
        missing = tuple(path for path in root.parents if not path.exists())
        return cls(root=root, names=names, missing_parents=missing)

    def remove(self) -> None:
        """Remove what was made since then. Call this while the directory's lock is held."""
        with suppress(OSError):
            present = os.listdir(self.root)  # noqa: PTH208
            for name in present:
                if not name.startswith(KEPT) and name not in (self.names or ()):
                    self._remove(self.root / name)
        if self.names is None:
            for path in (self.root, *self.missing_parents):
                try:
                    path.rmdir()
                except OSError:
                    return  # somebody else uses it

    def _remove(self, path: Path) -> None:
        with suppress(OSError):
            if stat.S_ISDIR(path.lstat().st_mode):
                remove_tree(path, within=self.root)
            else:
                path.unlink()
