"""The dependency rule of docs/architecture.md, checked against the imports of every module."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "asgard_async"
ORDER = (
    *("domain", "core", "config", "logformat", "store", "auth", "supervisor", "environments"),
    *("mlflow", "logs", "executors", "scheduling", "jobs", "retention", "backups", "api", "client"),
    *("app", "cli", "__main__"),
)
"""A package imports itself and the packages before it."""
STANDARD_LIBRARY_ALONE = ("domain", "logformat")
SHIM = "asgard_async.supervisor.shim"
"""Runs in interpreters of jobs: imports the standard library, itself and the log format."""
LOCAL_EXECUTOR = "asgard_async.executors.local"
"""One executor of several: only `executors` itself knows it."""
CLIENT = "client"
"""Speaks HTTP only: imports nothing else of the package."""
MLFLOW_PROGRAM = "asgard_async.mlflow.server_program"
MLFLOW_GUARD = "asgard_async.mlflow.guard"
"""Run in a separate process: they alone import MLflow, and no other module imports them."""
NEVER = {"mlflow", "numpy", "pandas", "sklearn", "scipy", "torch", "xgboost"}
"""Heavy packages, or packages for users' scripts: the service does not need them."""

MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "__pycache__" not in path.parts)


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_in(source: str, module: str, *, is_package: bool = False) -> set[str]:
    """The absolute names of all modules that `source` imports, at any depth."""
    return {
        name
        for node in ast.walk(ast.parse(source))
        for name in (*imported_by(node, module, is_package=is_package), *named_by(node))
    }


def imported_by(node: ast.AST, module: str, *, is_package: bool) -> Iterator[str]:
    """The modules that an import statement names."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            parents = module.split(".")
            up = node.level - is_package
            base = ".".join([*parents[: len(parents) - up], *filter(None, [base])])
        # `from package import name` may name a module
        yield from (resolve(base, alias.name) for alias in node.names)


def named_by(node: ast.AST) -> Iterator[str]:
    """The modules that an expression names: `asgard_async.jobs`, `import_module("…")`."""
    if isinstance(node, ast.Attribute):
        if isinstance(node.value, ast.Name) and node.value.id == "asgard_async":
            yield f"asgard_async.{node.attr}"
    elif isinstance(node, ast.Call):
        for argument in node.args[:1]:
            if isinstance(argument, ast.Constant) and is_our_module(argument.value):
                yield str(argument.value)


def is_our_module(value: object) -> bool:
    return isinstance(value, str) and value.startswith("asgard_async.")


def resolve(base: str, name: str) -> str:
    path = PACKAGE.parent.joinpath(*base.split("."), name)
    return f"{base}.{name}" if path.is_dir() or path.with_suffix(".py").exists() else base


def imports_of(path: Path) -> set[str]:
    return imports_in(path.read_text("utf-8"), name_of(path), is_package=path.name == "__init__.py")


def package_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def is_in(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def is_standard(name: str) -> bool:
    return name.split(".")[0] in sys.stdlib_module_names


def violations_of(module: str, imported: set[str]) -> list[str]:
    """Each import of `module` that the rule forbids, as "module imports name"."""
    return sorted(f"{module} imports {name}" for name in imported if not may_import(module, name))


def may_import(module: str, name: str) -> bool:
    package, inside = package_of(module), name.split(".")[0] == "asgard_async"
    is_in_mlflow = module == MLFLOW_PROGRAM or is_in(module, MLFLOW_GUARD)
    if name == MLFLOW_PROGRAM or (is_in(name, MLFLOW_GUARD) and not is_in_mlflow):
        return False
    if name.split(".")[0] in NEVER and not is_in_mlflow:
        return False
    if is_in(name, LOCAL_EXECUTOR) and package != "executors":
        return False
    if not inside:
        if name.split(".")[0] in {"tests", "benchmarks", "examples"}:
            return False
        pure = package in STANDARD_LIBRARY_ALONE or is_in(module, SHIM)
        return is_standard(name) or not pure
    target = package_of(name)
    if not target:  # the package itself, for its version
        return not is_in(module, SHIM)
    if is_in(module, SHIM):
        return is_in(name, SHIM) or target == "logformat"
    if package in STANDARD_LIBRARY_ALONE or package == CLIENT:
        return target == package
    return ORDER.index(target) <= ORDER.index(package)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_modules_import_only_what_their_package_may(path: Path) -> None:
    if name_of(path) == "asgard_async":
        assert imports_of(path) == set()
        return
    assert violations_of(name_of(path), imports_of(path)) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("asgard_async.store.jobs", "from asgard_async.api import routes"),
        ("asgard_async.store.jobs", "import asgard_async.scheduling.dispatcher"),
        ("asgard_async.store.jobs", "from ..scheduling import dispatcher"),
        ("asgard_async.logs.reader", "def f():\n    import asgard_async.jobs.lifecycle"),
        ("asgard_async.jobs.submit.submitter", "import asgard_async.api"),
        ("asgard_async.domain.job", "import msgspec"),
        ("asgard_async.domain.job", "from asgard_async.core import timestamps"),
        ("asgard_async.logformat.files", "from asgard_async.core import redaction"),
        ("asgard_async.client.sync", "from asgard_async.config import load_config"),
        ("asgard_async.mlflow.gateway", "from mlflow import MlflowClient"),
        ("asgard_async.mlflow.embedded", "from asgard_async.mlflow import server_program"),
        ("asgard_async.api.models", "if True:\n    import numpy.linalg"),
        ("asgard_async.supervisor.shim.keeper", "from asgard_async.supervisor import attempt"),
        ("asgard_async.supervisor.shim.keeper", "import msgspec"),
        ("asgard_async.app", "from asgard_async.cli import main"),
        ("asgard_async.store.jobs", "importlib.import_module('asgard_async.api.routes')"),
        ("asgard_async.store.jobs", "__import__('asgard_async.api.routes')"),
        ("asgard_async.store.jobs", "import asgard_async\nasgard_async.api.routes"),
        ("asgard_async.store.jobs", "from asgard_async.api import *"),
        ("asgard_async.store.jobs", "from tests.support import service"),
        ("asgard_async.jobs.lifecycle", "from asgard_async.executors.local import executor"),
        ("asgard_async.supervisor.shim_tools", "import msgspec\nimport asgard_async.jobs"),
    ],
)
def test_forbidden_imports_are_noticed(
    module: str, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # names are resolved against what exists; these need not exist yet
    monkeypatch.setitem(globals(), "resolve", lambda base, name: f"{base}.{name}")
    assert violations_of(module, imports_in(source, module))


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("asgard_async.store.jobs", "from asgard_async.domain.job import Job"),
        ("asgard_async.executors.local.executor", "from asgard_async.domain.status import Reason"),
        ("asgard_async.domain.job", "from asgard_async.domain.status import Phase, Reason"),
        ("asgard_async.jobs.lifecycle", "from asgard_async.store.jobs import JobStore"),
        ("asgard_async.cli.commands.serve", "from asgard_async.app import create_app"),
        ("asgard_async.supervisor.shim.keeper", "import os\nfrom . import files"),
        ("asgard_async.supervisor.shim.pump", "from asgard_async.logformat import files"),
    ],
)
def test_allowed_imports_pass(module: str, source: str) -> None:
    assert violations_of(module, imports_in(source, module)) == []


def test_every_package_has_its_place_in_the_order() -> None:
    assert {package_of(name_of(path)) for path in MODULES} - {""} == set(ORDER)


def test_only_two_modules_are_outside_packages() -> None:
    beside = {path.name for path in PACKAGE.glob("*.py")}
    assert beside == {"__init__.py", "__main__.py", "app.py"}


def test_components_are_in_modules_of_that_name() -> None:
    """As docs/architecture.md says of app.py."""
    from asgard_async.app import COMPONENTS

    others = [one.__module__ for one in COMPONENTS if not one.__module__.endswith(".component")]
    assert others == []
