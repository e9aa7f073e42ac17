"""The dependency rule of docs/architecture.md, read from the imports of every module."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "asgard_async"
PURE_JOBS = {
    f"asgard_async.jobs.{name}"
    for name in ("errors", "failure", "hints", "record", "status", "submission", "transitions")
}
LOWER_ROOMS = {"access", "execution", "logs", "tracking", "store"}
# Files of the top level that stand below every room; they may import each other.
GROUND = {
    *("abandonable", "background", "config", "data_directory", "durability", "free_space"),
    *("loop_lag", "open_files", "ownership", "readiness", "redaction", "service_log", "turns"),
}
# What a room may import of the package, beside itself and the ground.
ALLOWED_ROOMS: dict[str, set[str]] = {
    "__main__": {"cli"},
    "app": {"api", "jobs", "retention", *LOWER_ROOMS},
    "cli": {"app", "client", "jobs", "retention", *LOWER_ROOMS},
    "api": {"jobs", "retention", *LOWER_ROOMS},
    "retention": {"jobs", *LOWER_ROOMS},
    "jobs": LOWER_ROOMS,
    "execution": {"logs"},
    "access": set(),
    "logs": set(),
    "tracking": {"execution"},
    "store": set(),
    "client": set(),
}
# The format of a log on the disk: the shim writes it, and may import nothing of ours.
LOG_FORMAT = "asgard_async.logformat.files"
# The embedded MLflow's own process: the one module that may import mlflow, imported by none.
MLFLOW_PROGRAM = "asgard_async.mlflow.server_program"
# Heavy, or of the users' world: the service itself lives without them.
NEVER = {"mlflow", "numpy", "pandas", "sklearn", "scipy", "torch", "xgboost"}

MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "__pycache__" not in path.parts)


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_in(source: str, module: str, *, is_package: bool = False) -> set[str]:
    """Every module that `source` imports, wherever the statement stands, as absolute names."""

    def found() -> Iterator[str]:
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = node.module or ""
                if node.level:
                    parents = module.split(".")
                    up = node.level - is_package
                    base = ".".join([*parents[: len(parents) - up], *filter(None, [base])])
                # `from package import module` names a module, and so may any other name be one
                yield from (resolve(base, alias.name) for alias in node.names)

    return set(found())


def resolve(base: str, name: str) -> str:
    path = PACKAGE.parent.joinpath(*base.split("."), name)
    return f"{base}.{name}" if path.is_dir() or path.with_suffix(".py").exists() else base


def imports_of(path: Path) -> set[str]:
    return imports_in(path.read_text("utf-8"), name_of(path), is_package=path.name == "__init__.py")


def room_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def complaints_about(module: str, imported: set[str]) -> list[str]:
    """What is wrong with `module` importing `imported`, a sentence each."""
    room = room_of(module)
    wrong = [
        f"{module} imports {name}"
        for name in imported
        if name == MLFLOW_PROGRAM or (name.split(".")[0] in NEVER and module != MLFLOW_PROGRAM)
    ]
    for name in imported:
        top = name.split(".")[0]
        inside = top == "asgard_async"
        if module.startswith("asgard_async.execution.shim"):
            # a job's interpreter has no Asgard installed: there the shim goes by a short name
            itself = name.startswith("asgard_async.execution.shim") or top == "shim"
            if not itself and not is_standard(top):
                wrong.append(f"{module}, of the shim, imports {name}")
        elif module in PURE_JOBS and not (name in PURE_JOBS or is_standard(top)):
            wrong.append(f"{module}, of the pure part of jobs, imports {name}")
        elif inside and name != "asgard_async" and room_of(name) != room:
            if not (
                room_of(name) in ALLOWED_ROOMS.get(room, set())
                or (room_of(name) in GROUND and room not in {"client", "config"})
                or (room_of(name) == "redaction" and room == "config")
                or (name in PURE_JOBS and room in LOWER_ROOMS)
                or (name == LOG_FORMAT and room == "logs")
            ):
                wrong.append(f"{module} imports {name}")
    return wrong


def is_standard(top: str) -> bool:
    return top in sys.stdlib_module_names


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_imports_what_its_room_may(path: Path) -> None:
    assert complaints_about(name_of(path), imports_of(path)) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("asgard_async.store.jobs", "from asgard_async.api import routes"),
        ("asgard_async.store.jobs", "import asgard_async.scheduling.dispatcher"),
        ("asgard_async.store.jobs", "from ..jobs import dispatcher"),
        ("asgard_async.logs.reader", "def f():\n    import asgard_async.store.jobs"),
        ("asgard_async.jobs.submit.submitter", "import asgard_async.api"),
        ("asgard_async.domain.job", "import msgspec"),
        ("asgard_async.domain.job", "from asgard_async.jobs import dispatcher"),
        ("asgard_async.client.sync", "from asgard_async.config import load_config"),
        ("asgard_async.mlflow.gateway", "from mlflow import MlflowClient"),
        ("asgard_async.mlflow.embedded", "from asgard_async.tracking import mlflow_program"),
        ("asgard_async.api.models", "if True:\n    import numpy.linalg"),
        ("asgard_async.supervisor.shim.keeper", "from asgard_async.logs import pump"),
        ("asgard_async.supervisor.shim.keeper", "import msgspec"),
    ],
)
def test_the_rule_notices(module: str, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # names are resolved against what exists; these need not exist yet
    monkeypatch.setitem(globals(), "resolve", lambda base, name: f"{base}.{name}")
    assert complaints_about(module, imports_in(source, module))


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("asgard_async.store.jobs", "from asgard_async.domain.job import Job"),
        ("asgard_async.executors.local.executor", "from asgard_async.domain.status import Reason"),
        ("asgard_async.domain.job", "from asgard_async.domain.status import Phase, Reason"),
        ("asgard_async.jobs.submit.submitter", "from asgard_async.store.jobs import JobStore"),
        ("asgard_async.app", "from asgard_async.api import routes"),
        ("asgard_async.supervisor.shim.keeper", "import os\nfrom . import files"),
    ],
)
def test_the_rule_allows(module: str, source: str) -> None:
    assert complaints_about(module, imports_in(source, module)) == []


def test_every_room_is_known() -> None:
    rooms = {room_of(name_of(path)) for path in MODULES} - {""}
    assert rooms <= set(ALLOWED_ROOMS) | GROUND
