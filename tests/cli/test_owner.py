"""Files that root creates in another user's data directory belong to that user."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from asgard_async.config.data_directory import DataDirectory
from asgard_async.store.database import bring_up_to_date
from tests.support.asgard_command import DEADLINE_SECONDS, command, environment
from tests.support.package_index import package_index
from tests.support.preloaded_command import asgard
from tests.support.public_directory import public_directory
from tests.support.service import WITHOUT_MLFLOW, running_service
from tests.support.service_users import launcher
from tests.support.wheels import make_sdist

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]

SOMEBODY = 65534
TELLS = """
import os
def make():
    return {"tells.py": f"uid = {os.getuid()}"}
"""


@pytest.fixture
def data() -> Iterator[DataDirectory]:
    """Another user's data directory, outside pytest's, which only root can access."""
    with public_directory("asgard-owner-") as top:
        data = DataDirectory(root=top / "data").make()
        bring_up_to_date(data.database)
        data.warm.rmdir()  # as if a later version had created it
        for path in (data.root, *data.root.rglob("*")):
            os.chown(path, SOMEBODY, SOMEBODY)
        yield data


def run(*arguments: str | Path, data: DataDirectory) -> None:
    done = asgard(*arguments, "--data-dir", data.root)
    assert done.returncode == 0, done.stderr


def owners(directory: Path) -> set[int]:
    return {path.lstat().st_uid for path in (directory, *directory.rglob("*"))}


def test_commands_run_by_root_leave_no_root_owned_files(data: DataDirectory) -> None:
    run("token", "create", "--name", "one", data=data)
    run("token", "create", "--name", "two", data=data)
    run("token", "revoke", "one", data=data)
    run("db", "migrate", data=data)
    run("gc", data=data)
    run("db", "backup", data.root / "backup", data=data)
    assert data.tokens.stat().st_mode & 0o777 == 0o600
    assert owners(data.root) == {SOMEBODY}


def test_root_builds_environments_for_the_owner(data: DataDirectory) -> None:
    packages = data.root.parent / "packages"
    with package_index(packages) as index:
        make_sdist(packages, "tells", TELLS)
        done = subprocess.run(
            # through the mechanism that lets the owner execute the interpreter
            [*launcher(0, data.root), *command("env", "build", "-r", "tells")],
            env=environment(ASGARD_ENVIRONMENTS__INDEX_URL=index, ASGARD_DATA_DIR=str(data.root)),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    (file,) = data.environments.glob("*/venv/lib/python*/site-packages/tells.py")
    assert file.read_text() == f"uid = {SOMEBODY}"
    assert owners(data.root) == {SOMEBODY}
    run("env", "prune", "--max-mb", "0", data=data)
    assert not list(data.environments.glob("*/venv"))


@pytest.mark.service
async def test_a_service_of_root_runs_as_the_owner(data: DataDirectory) -> None:
    start = launcher(0, data.root)
    async with running_service(data.root, WITHOUT_MLFLOW, start) as service:
        assert f"running as uid {SOMEBODY}" in service.log.read_text()
        job = await service.finished(await service.submit("import os; print(os.getuid())"))
        assert (job["reason"], job["logs"]) == ("succeeded", f"{SOMEBODY}\n")
        assert owners(data.root) == {SOMEBODY}


def test_a_service_needs_an_interpreter_for_the_owner(data: DataDirectory) -> None:
    private = data.root.parent / "private"
    private.mkdir(mode=0o700)
    (private / "python").symlink_to(sys.executable)
    done = subprocess.run(
        [str(private / "python"), "-m", "asgard_async", "serve", "--data-dir", str(data.root)],
        env=environment(PYTHONPATH=os.pathsep.join(filter(None, sys.path))),
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    assert done.returncode == 1
    assert f"belongs to uid {SOMEBODY}, who cannot run" in done.stderr


def test_a_backup_elsewhere_stays_owned_by_root(data: DataDirectory) -> None:
    run("token", "create", data=data)
    copy = data.root.parent / "copy"
    run("db", "backup", copy, data=data)
    assert owners(data.root) == {SOMEBODY}
    assert owners(copy) == {0}


def test_root_follows_no_planted_links(data: DataDirectory) -> None:
    secret = data.root.parent / "of-root"
    secret.write_text("kept")
    secret.chmod(0o600)
    for name in ("tokens.json.lock", "tokens.json.new"):
        link = data.root / name
        link.unlink(missing_ok=True)
        link.symlink_to(secret)
        done = asgard("token", "create", "--data-dir", data.root)
        assert (done.returncode, done.stdout) == (1, "")
        assert secret.read_text() == "kept"
        assert secret.stat().st_uid == 0
