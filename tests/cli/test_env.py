"""`asgard env` without a running service, with real builds.

Their packages come from a local index with an empty mlflow, since every environment contains mlflow
and the real one takes most of a minute to install.
"""

import functools
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from asgard_async.environments.cache import EnvironmentCache
from tests.support.package_index import package_index
from tests.support.preloaded_command import asgard
from tests.support.wheels import make_wheel

pytestmark = pytest.mark.service

Build = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def build(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Build]:
    """Run `asgard env build` against an index that offers only iniconfig 1."""
    packages = tmp_path_factory.mktemp("index") / "packages"
    with package_index(packages) as address:
        make_wheel(packages, "iniconfig", "")
        yield functools.partial(
            asgard, "env", "build", "--data-dir", tmp_path, ASGARD_ENVIRONMENTS__INDEX_URL=address
        )


def env(data_dir: Path, *arguments: str) -> str:
    done = asgard("env", arguments[0], "--data-dir", data_dir, *arguments[1:])
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_environments_are_built_listed_and_pruned(build: Build, tmp_path: Path) -> None:
    assert "No environments" in env(tmp_path, "list")
    built = build("-r", "iniconfig<2")
    assert built.returncode == 0, built.stderr
    key = built.stdout.split()[1]
    assert built.stdout == f"built {key}\n"
    assert build("-r", "iniconfig < 2").stdout == f"{key} is already built.\n"
    (one,) = json.loads(env(tmp_path, "list", "--json"))
    assert (one["key"], one["in_use"]) == (key, False)
    assert "iniconfig<2" in one["requirements"]
    assert key in env(tmp_path, "list")
    assert env(tmp_path, "prune") == "Nothing to delete.\n"
    with EnvironmentCache(tmp_path / "environments").held(key):
        in_use = env(tmp_path, "prune", "--max-mb", "0")
    assert in_use == f"kept {key}: a job is using it\n"
    assert env(tmp_path, "prune", "--max-mb", "0") == f"deleted {key}\n"
    assert json.loads(env(tmp_path, "list", "--json")) == []


def test_a_requirements_file_is_built(build: Build, tmp_path: Path) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text("# comment\niniconfig<2  # another\n")
    built = build("--requirements", file)
    assert built.returncode == 0, built.stderr
    key = built.stdout.split()[1]
    assert build("-r", "iniconfig<2").stdout == f"{key} is already built.\n"
    # its modules are already compiled, which saves jobs the work
    assert list((tmp_path / "environments" / key).rglob("__pycache__/iniconfig.*.pyc"))


def test_a_build_without_requirements_is_a_usage_error(tmp_path: Path) -> None:
    done = asgard("env", "build", "--data-dir", tmp_path)
    assert done.returncode == 2
    assert "--requirements FILE" in done.stderr


def test_requirements_of_the_base_need_no_build(tmp_path: Path) -> None:
    assert "nothing to build" in env(tmp_path, "build", "-r", "aiohttp")


@pytest.mark.parametrize("requirement", ["-r /etc/hostname", "./here", "no such"])
def test_requirements_other_than_names_are_rejected(tmp_path: Path, requirement: str) -> None:
    done = asgard("env", "build", "--data-dir", tmp_path, "-r", requirement)
    assert done.returncode == 2
    assert "Entry 1" in done.stderr


def test_a_failed_build_shows_the_reason_from_uv(build: Build) -> None:
    done = build("-r", "no-such-package-of-asgard")
    assert done.returncode == 1
    assert "no-such-package-of-asgard was not found" in done.stderr
    assert "Traceback" not in done.stderr
