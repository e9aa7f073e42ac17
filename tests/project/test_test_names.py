"""Test names are short and unique within their file."""

import ast
from collections import Counter
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
FILES = sorted(TESTS.rglob("test_*.py"))
LONGEST = 60


def names_of(source: str) -> list[str]:
    """The names of the test functions of a module."""
    return [
        node.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(TESTS).as_posix())
def test_names_are_short_and_unique(path: Path) -> None:
    names = names_of(path.read_text())
    assert [name for name in names if len(name) > LONGEST] == []
    assert [name for name, count in Counter(names).items() if count > 1] == []
