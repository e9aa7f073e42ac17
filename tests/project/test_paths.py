"""Rules for paths that depend on what others may have written."""

import ast
from collections.abc import Iterator

import pytest

from tests.project.test_dependencies import PACKAGE

UNCHECKED = {"job_id", "archive", "key", "digest"}
"""Names of variables that become parts of paths only through `domain.names`."""
OPENS_DATA_DIRECTORIES = PACKAGE / "cli" / "data_directory.py"
FOR_THE_BACKUP = PACKAGE / "cli" / "commands" / "db.py"
"""Also writes a copy of a data directory."""


def unchecked_parts(source: str) -> Iterator[str]:
    """The unchecked names that an expression with `/` makes parts of a path."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            part = node.right
            name = getattr(part, "id", None) or getattr(part, "attr", None)
            if name in UNCHECKED:
                yield ast.unparse(node)


def test_paths_contain_only_checked_names() -> None:
    found = {
        path.relative_to(PACKAGE).as_posix(): parts
        for path in PACKAGE.rglob("*.py")
        if (parts := list(unchecked_parts(path.read_text("utf-8"))))
    }
    assert found == {}


@pytest.mark.parametrize("source", ["root / job_id", "root / job.job_id / name", "a / b / key"])
def test_an_unchecked_part_is_found(source: str) -> None:
    assert len(list(unchecked_parts(source))) == 1


def test_commands_open_data_directories_in_one_place() -> None:
    """It becomes the owner first; a command that opened one otherwise would act as root."""
    for path in (PACKAGE / "cli").rglob("*.py"):
        if path not in {OPENS_DATA_DIRECTORIES, FOR_THE_BACKUP, PACKAGE / "cli/commands/serve.py"}:
            calls = [
                node
                for node in ast.walk(ast.parse(path.read_text("utf-8")))
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "DataDirectory"
            ]
            assert calls == [], path
