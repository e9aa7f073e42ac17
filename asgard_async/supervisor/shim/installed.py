"""Early creation of MLflow's table of installed packages, which it needs to log a model.

To build the table, MLflow reads the file list of every package: 17,000 files of about 90 packages.
This takes 0.3 s, a fifth of a small training that logs its model. The table is valid until packages
are installed or removed. The job checks this on first use, and MLflow rebuilds an outdated table.
Versions of MLflow that store the table elsewhere build their own in the job.
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
    """Make MLflow build its table, if MLflow is loaded and stores the table in the known place."""
    module = sys.modules.get(USER)
    if module is None or not hasattr(module, TABLE) or not hasattr(module, GATHER):
        return
    search_path = _SearchPath()
    try:
        getattr(module, GATHER)()
    except Exception:
        # for example, an unreadable package: a job that needs the table gets the same error
        setattr(module, TABLE, None)
        traceback.print_exc()
        return
    if type(table := getattr(module, TABLE)) is dict:
        setattr(module, TABLE, _Table(table, module, search_path))


class _Table(dict[str, Any]):
    """Packages by the names of their importable modules.

    On first use, the table checks that it is still valid and replaces itself with a plain
    dictionary.
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
    """The directories that contain packages, with their modification times."""

    def __init__(self) -> None:
        self._directories = [
            (path, os.stat(path).st_mtime_ns) for path in sys.path if _has_packages(path)
        ]
        # other finders than the interpreter's may find packages, too
        self._finders = [
            finder for finder in sys.meta_path if hasattr(finder, "find_distributions")
        ]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _SearchPath) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]


def _has_packages(path: str) -> bool:
    """Return whether a directory contains installed packages; that of a script usually does not."""
    try:
        return any(name.endswith(METADATA) for name in os.listdir(path or "."))
    except NotADirectoryError:
        return True  # an archive
    except OSError:
        return False
