"""`asgard env` on a data directory without a service; the builds are real."""

import json
from pathlib import Path

import pytest

from tests.cli.asgard import asgard

pytestmark = pytest.mark.service


def env(data_dir: Path, *arguments: str) -> str:
    done = asgard("env", arguments[0], "--data-dir", data_dir, *arguments[1:])
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_build_list_and_prune(tmp_path: Path) -> None:
    assert "There are none" in env(tmp_path, "list")
    built = env(tmp_path, "build", "-r", "iniconfig<2")
    key = built.split()[1]
    assert built == f"built {key}\n"
    assert env(tmp_path, "build", "-r", "iniconfig < 2") == f"{key} is there already.\n"
    (one,) = json.loads(env(tmp_path, "list", "--json"))
    assert (one["key"], one["in_use"]) == (key, False)
    assert "iniconfig<2" in one["requirements"]
    assert key in env(tmp_path, "list")
    assert env(tmp_path, "prune") == "Nothing to remove.\n"
    assert env(tmp_path, "prune", "--max-mb", "0") == f"removed {key}\n"
    assert json.loads(env(tmp_path, "list", "--json")) == []


def test_a_file_of_requirements_is_built(tmp_path: Path) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text("# comment\niniconfig<2  # another\n")
    data_dir = tmp_path / "data"
    key = env(data_dir, "build", "--requirements", str(file)).split()[1]
    assert env(data_dir, "build", "-r", "iniconfig<2") == f"{key} is there already.\n"
    # its modules are compiled, so that no job has to do it
    assert list((data_dir / "environments" / key).rglob("iniconfig/__pycache__/*.pyc"))


def test_nothing_to_build_is_said(tmp_path: Path) -> None:
    done = asgard("env", "build", "--data-dir", tmp_path)
    assert done.returncode == 2
    assert "--requirements FILE" in done.stderr


def test_what_the_base_environment_has_is_not_built(tmp_path: Path) -> None:
    assert "nothing to build" in env(tmp_path, "build", "-r", "aiohttp")


@pytest.mark.parametrize("requirement", ["-r /etc/hostname", "./here", "no such"])
def test_requirements_that_are_no_names_are_refused(tmp_path: Path, requirement: str) -> None:
    done = asgard("env", "build", "--data-dir", tmp_path, "-r", requirement)
    assert done.returncode == 2
    assert "Entry 1" in done.stderr


def test_a_build_that_fails_says_uvs_reason(tmp_path: Path) -> None:
    done = asgard("env", "build", "--data-dir", tmp_path, "-r", "no-such-package-of-asgard")
    assert done.returncode == 1
    assert "no-such-package-of-asgard was not found" in done.stderr
    assert "Traceback" not in done.stderr
