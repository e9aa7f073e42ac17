"""The package: one version, correct metadata, packaged files, a documented configuration."""

import dataclasses
import tomllib
from importlib import metadata, resources
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import asgard_async
from asgard_async.config import SECTIONS

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def distribution() -> metadata.Distribution:
    return metadata.distribution("asgard-async")


def test_versions_agree(distribution: metadata.Distribution) -> None:
    assert distribution.version == asgard_async.__version__
    assert f"## {asgard_async.__version__}" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_the_metadata_is_complete(distribution: metadata.Distribution) -> None:
    about = distribution.metadata
    assert about["Name"] == "asgard-async"
    assert about["License-Expression"] == "Apache-2.0"
    assert about["Requires-Python"] == ">=3.11"
    assert "Asgard" in about["Description"]
    (script,) = distribution.entry_points.select(group="console_scripts")
    assert (script.name, script.value) == ("asgard", "asgard_async.cli.main:main")


def test_the_runtime_needs_no_test_tools(distribution: metadata.Distribution) -> None:
    needed = {
        requirement.name
        for requirement in map(Requirement, distribution.requires or ())
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""})
    }
    assert {"aiohttp", "aiosqlite", "mlflow", "msgspec"} <= needed
    assert not needed & {"pytest", "hypothesis", "ruff", "mypy", "build"}


def test_migrations_and_defaults_are_package_files() -> None:
    package = resources.files("asgard_async")
    shipped = {entry.name for entry in (package / "migrations").iterdir()}
    assert shipped >= {path.name for path in (ROOT / "migrations").glob("*.sql")} > set()
    assert (package / "config.toml").read_text("utf-8") == (ROOT / "config.toml").read_text("utf-8")
    assert (package / "py.typed").is_file()
    assert (package / "jobs" / "hints" / "package_names.toml").is_file()


def test_config_toml_lists_every_key_and_no_other() -> None:
    document = tomllib.loads((ROOT / "config.toml").read_text("utf-8"))
    assert {name: list(keys) for name, keys in document.items()} == {
        name: [field.name for field in dataclasses.fields(kind)] for name, kind in SECTIONS.items()
    }


def undocumented_keys(text: str) -> list[str]:
    """Keys with no comment above them; keys that follow each other share one."""
    missing = []
    documented = False
    for line in map(str.strip, text.splitlines()):
        if line.startswith("#"):
            documented = True
        elif not line or line.startswith("["):
            documented = False
        elif not documented:
            missing.append(line.partition("=")[0].strip())
    return missing


def test_every_key_is_documented_by_a_comment() -> None:
    assert undocumented_keys((ROOT / "config.toml").read_text("utf-8")) == []


def test_an_undocumented_key_is_noticed() -> None:
    assert undocumented_keys("# file\n\n[a]\n# one\nb = 1\nc = 2\n\nd = 3\n") == ["d"]
    assert undocumented_keys("# section\n[a]\nb = 1\n") == ["b"]
