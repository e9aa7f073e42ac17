"""What MLflow gathers of the installed packages before it logs a model, gathered beforehand.

It reads what every package has installed, 17 000 files of some ninety packages: 0.3 s, a fifth of a
small training that logs its model. The table is right as long as nothing has been installed since,
which the job sees when it first uses it; if something was, MLflow gathers it anew. An MLflow that
keeps its table elsewhere does so in any case.
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
    """Have MLflow gather its table, if it is there and as it is known."""
    module = sys.modules.get(USER)
    if module is None or not hasattr(module, TABLE) or not hasattr(module, GATHER):
        return
    seen = _Places()
    try:
        getattr(module, GATHER)()
    except Exception:
        # a package that cannot be read, perhaps: a job that asks is told as by hand
        setattr(module, TABLE, None)
        traceback.print_exc()
        return
    if type(table := getattr(module, TABLE)) is dict:
        setattr(module, TABLE, _Table(table, module, seen))


class _Table(dict[str, Any]):
    """By the names of importable modules, lists of packages. Looked at for the first time, it makes
    sure that it is right, and gives its place to a plain one."""

    def __init__(self, table: "dict[str, Any]", module: ModuleType, seen: "_Places") -> None:
        super().__init__(table)
        self._module = module
        self._seen = seen

    def _settled(self) -> "dict[str, Any]":
        if getattr(self._module, TABLE) is self:
            if _Places() == self._seen:
                setattr(self._module, TABLE, dict(super().items()))
            else:
                setattr(self._module, TABLE, None)
                getattr(self._module, GATHER)()
        table: dict[str, Any] = getattr(self._module, TABLE)
        return table

    def __getitem__(self, name: str) -> Any:
        return self._settled()[name]

    def __contains__(self, name: object) -> bool:
        return name in self._settled()

    def __iter__(self) -> Iterator[str]:
        return iter(self._settled())

    def __len__(self) -> int:
        return len(self._settled())

    def get(self, name: str, default: Any = None) -> Any:
        return self._settled().get(name, default)

    def items(self) -> Any:
        return self._settled().items()

    def keys(self) -> Any:
        return self._settled().keys()

    def values(self) -> Any:
        return self._settled().values()


class _Places:
    """Where packages are looked for, and when something was last put there or taken away."""

    def __init__(self) -> None:
        self._found = [
            (place, os.stat(place).st_mtime_ns) for place in sys.path if _holds_packages(place)
        ]
        # other finders than the interpreter's own may know of packages, too
        self._finders = [one for one in sys.meta_path if hasattr(one, "find_distributions")]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Places) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]


def _holds_packages(place: str) -> bool:
    """Whether packages are installed there; the folder of a script has none, as a rule."""
    try:
        return any(name.endswith(METADATA) for name in os.listdir(place or "."))
    except NotADirectoryError:
        return True  # an archive
    except OSError:
        return False
