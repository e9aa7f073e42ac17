"""MLflow's table of installed packages, which it needs to log a model, built ahead of time.

MLflow reads the file list of every package, 17 000 files of some ninety packages: 0.3 s, a fifth of
a small training that logs its model. The table is valid while nothing more has been installed. The
job checks that on first use, and MLflow builds the table again if it is outdated. So it does if its
version keeps the table elsewhere.
"""

import os
import sys
import traceback
from collections.abc import Iterator
from types import ModuleType
from typing import Any

USER = "mlflow.utils.requirements_utils"
TABLE = "_MODULES_TO_PACKAGES"
GATHER = "_init_modules_to_packages_map"
METADATA = (".dist-info", ".egg-info", ".egg", ".egg-link")


def gather_packages() -> None:
    """Have MLflow build its table, if it is loaded and keeps the table in the known place."""
    module = sys.modules.get(USER)
    if module is None or not hasattr(module, TABLE) or not hasattr(module, GATHER):
        return
    search_path = _SearchPath()
    try:
        getattr(module, GATHER)()
    except Exception:
        # perhaps an unreadable package: a job that asks gets the same error as by hand
        setattr(module, TABLE, None)
        traceback.print_exc()
        return
    if type(table := getattr(module, TABLE)) is dict:
        setattr(module, TABLE, _Table(table, module, search_path))


class _Table(dict[str, Any]):
    """Packages by the names of their importable modules.

    On first use it checks that it is still valid, and replaces itself with a plain dictionary.
    """

    def __init__(
        self, table: "dict[str, Any]", module: ModuleType, search_path: "_SearchPath"
    ) -> None:
        super().__init__(table)
        self._module = module
        self._search_path = search_path

    def _validated(self) -> "dict[str, Any]":
        if getattr(self._module, TABLE) is self:
            if _SearchPath() == self._search_path:
                setattr(self._module, TABLE, dict(super().items()))
            else:
                setattr(self._module, TABLE, None)
                getattr(self._module, GATHER)()
        table: dict[str, Any] = getattr(self._module, TABLE)
        return table

    def __getitem__(self, name: str) -> Any:
        return self._validated()[name]

    def __contains__(self, name: object) -> bool:
        return name in self._validated()

    def __iter__(self) -> Iterator[str]:
        return iter(self._validated())

    def __len__(self) -> int:
        return len(self._validated())

    def get(self, name: str, default: Any = None) -> Any:
        return self._validated().get(name, default)

    def items(self) -> Any:
        return self._validated().items()

    def keys(self) -> Any:
        return self._validated().keys()

    def values(self) -> Any:
        return self._validated().values()


class _SearchPath:
    """The directories with packages, and when one was last added or removed."""

    def __init__(self) -> None:
        self._found = [
            (path, os.stat(path).st_mtime_ns) for path in sys.path if _has_packages(path)
        ]
        # finders other than the interpreter's own may know packages, too
        self._finders = [
            finder for finder in sys.meta_path if hasattr(finder, "find_distributions")
        ]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _SearchPath) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]


def _has_packages(path: str) -> bool:
    """Return whether packages are installed there; the directory of a script usually has none."""
    try:
        return any(name.endswith(METADATA) for name in os.listdir(path or "."))
    except NotADirectoryError:
        return True  # an archive
    except OSError:
        return False
