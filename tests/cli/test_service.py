"""`asgard service install` writes a unit that systemd accepts."""

import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from asgard_async.cli.commands.service import UNIT, render
from asgard_async.supervisor.limits import after_stop
from tests.support.preloaded_command import asgard

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed here"
)


def verify(unit: Path) -> None:
    """Fail on any finding of systemd-analyze, except a key unknown to older versions."""
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    problems = [line for line in done.stderr.splitlines() if "DelegateSubgroup" not in line]
    assert (done.returncode, problems) == (0, [])


def install(folder: Path, *arguments: str) -> str:
    done = asgard("service", "install", "--folder", folder, *arguments)
    assert done.returncode == 0, done.stderr
    assert f"wrote {folder / UNIT}" in done.stdout
    assert "enable --now asgard" in done.stdout
    return (folder / UNIT).read_text()


@needs_systemd
def test_a_user_unit_is_installed(tmp_path: Path) -> None:
    unit = install(tmp_path, "--data-dir", str(tmp_path / "my data%"))
    verify(tmp_path / UNIT)
    assert "User=" not in unit
    assert "WantedBy=default.target" in unit
    assert "KillMode=process" in unit
    assert f'"{sys.executable}" "-m" "asgard_async" "serve"' in unit
    assert f'"ASGARD_DATA_DIR={tmp_path}/my data%%"' in unit
    assert f'ExecStopPost=-"{sys.executable}" "-m" "{after_stop.__name__}"' in unit


@needs_systemd
def test_a_system_unit_is_installed(tmp_path: Path) -> None:
    unit = install(tmp_path, "--system", "--user", "root")
    verify(tmp_path / UNIT)
    assert "\nUser=root\n" in unit
    assert "\nStateDirectory=asgard\n" in unit
    assert '"ASGARD_DATA_DIR=/var/lib/asgard"' in unit


def test_systemd_does_not_create_a_custom_data_directory(tmp_path: Path) -> None:
    unit = install(tmp_path, "--system", "--data-dir", "/srv/asgard")
    assert "StateDirectory" not in unit
    assert '"ASGARD_DATA_DIR=/srv/asgard"' in unit


def test_lingering_names_the_user(tmp_path: Path) -> None:
    """Without a session, as after `su`, loginctl does not know the user by itself."""
    try:
        name = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # as in some containers
        name = str(os.geteuid())
    done = asgard("service", "install", "--folder", tmp_path)
    assert f"loginctl enable-linger {name} " in done.stdout


def test_installing_again_changes_nothing(tmp_path: Path) -> None:
    install(tmp_path)
    again = asgard("service", "install", "--folder", tmp_path)
    assert "unchanged" in again.stdout


def test_a_missing_user_error_says_how_to_create_it(tmp_path: Path) -> None:
    done = asgard(
        "service", "install", "--system", "--user", "nobody-of-that-name", "--folder", tmp_path
    )
    assert "useradd --system" in done.stdout


def test_an_unwritable_unit_directory_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = asgard("service", "install", "--folder", tmp_path / "file")
    assert done.returncode == 1
    assert "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr


def test_specifiers_of_systemd_are_escaped() -> None:
    unit = render(command="x", data_dir=Path('/a%b$c"d'), user_name=None)
    assert '"ASGARD_DATA_DIR=/a%%b$c\\"d"' in unit


def test_a_line_end_in_a_path_adds_no_setting(tmp_path: Path) -> None:
    data_dir = "/srv/asgard\nExecStartPre=+/tmp/evil"
    for arguments in (("--data-dir", data_dir), ("--system", "--user", "me\nUser=root")):
        done = asgard("service", "install", "--folder", tmp_path, *arguments)
        assert done.returncode == 2
        assert "control characters" in done.stderr
        assert not (tmp_path / UNIT).exists()
