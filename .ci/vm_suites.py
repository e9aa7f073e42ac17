"""The tests that `vm_guest.py` runs: those for which the machine matters.

The others do the same everywhere, or are repeated here at other levels only. Each selection runs in
a scope with delegated control groups, as root or in the session of an ordinary user.
"""

import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vm_service import PYTHON

PAYLOAD = Path("/payload")
USER = "user"
SLOWNESS = 10
"""Deadlines of the tests are longer by this factor."""
SUITE_SECONDS = 1800

LIMITS = "tests/supervisor/limits/"
SANDBOX = "tests/supervisor/sandbox/"
KEYRINGS = f"{SANDBOX}test_keyrings.py"
LANDLOCK = (f"{SANDBOX}test_landlock.py", f"{SANDBOX}test_truncation.py")


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Files, and an expression for `pytest -k`."""

    name: str
    files: Sequence[str]
    only: str = ""
    user: str | None = None


SUITES = {
    "limits": (
        # by control groups; the limit of disk space is watched, whatever the machine
        Selection(
            name="jobs",
            files=[f"{LIMITS}test_attacks.py", f"{LIMITS}test_resources.py"],
            only="not filling and not rejected and not json_form and not without_a_request",
        ),
        Selection(name="builds", files=[f"{LIMITS}test_builds.py"], only="limited or cancelled"),
        # the sandbox has further means to end all processes
        Selection(
            name="ends of jobs",
            files=[f"{LIMITS}test_trees.py", "tests/supervisor/test_processes.py"],
            only="not [sandbox and not [user",
        ),
    ),
    "limits-user": (
        Selection(
            name="jobs",
            files=[f"{LIMITS}test_attacks.py"],
            only="not filling and not share",
            user=USER,
        ),
        Selection(
            name="ends of jobs",
            files=[f"{LIMITS}test_trees.py"],
            only="not [user and not [process and not [sandbox-lite",
            user=USER,
        ),
    ),
    # one way to start a job as root and the other as a user; levels that need no other machine,
    # but a simulated lack, are left to the suite
    "sandbox": (
        Selection(
            name="attacks",
            files=[f"{SANDBOX}test_attacks.py"],
            only="root-cold and not keeper and not shim",
        ),
        Selection(name="Landlock", files=LANDLOCK, only="not ordinary"),
        Selection(name="keyrings", files=[KEYRINGS], only="cold"),
        Selection(
            name="levels",
            files=[f"{SANDBOX}test_selector.py", f"{SANDBOX}test_caches.py"],
            only="another_user or distinct or sandbox-lite-root and not FORBID",
        ),
        Selection(
            name="builds and MLflow",
            files=[f"{SANDBOX}test_weaker_levels.py"],
            only="sandbox-lite-root",
        ),
    ),
    "sandbox-user": (
        Selection(
            name="attacks",
            files=[f"{SANDBOX}test_attacks.py"],
            only="ordinary-warm and not keeper and not shim",
            user=USER,
        ),
        Selection(name="Landlock", files=LANDLOCK, only="not root", user=USER),
        Selection(name="keyrings", files=[KEYRINGS], only="warm", user=USER),
        Selection(
            name="builds",
            files=[f"{SANDBOX}test_builds.py"],
            only="ordinary and (sees_no_files or signals_nothing or leaves_no)",
            user=USER,
        ),
    ),
    "namespaces-suite": (
        Selection(
            name="builds, MLflow and caches",
            files=[f"{SANDBOX}test_weaker_levels.py", f"{SANDBOX}test_caches.py"],
            only="sandbox-lite-ordinary",
            user=USER,
        ),
    ),
}


def run_suite(selection: Selection) -> subprocess.CompletedProcess[str]:
    """Run a selection in a scope of its own, below a transient service."""
    user, home = selection.user, "/home/user" if selection.user else "/root"
    manager = ["systemd-run", *(["--user"] if user else []), "-q"]
    tests = [str(PYTHON), "-m", "pytest", "-p", "no:cacheprovider", "-v", "-rfEs", "--tb=short"]
    tests += ["--no-header", "--durations=10", *selection.files]
    tests += ["-k", selection.only] if selection.only else []
    scope = shlex.join([*manager, "--scope", "-p", "Delegate=yes", "--", *tests])
    command = [*manager, "--wait", "--pipe", "--collect"]
    command += ["-p", f"RuntimeMaxSec={SUITE_SECONDS}", "-p", f"WorkingDirectory={PAYLOAD}"]
    for setting in (
        "PYTHONDONTWRITEBYTECODE=1",
        f"ASGARD_TEST_SLOWNESS={SLOWNESS}",
        f"HOME={home}",
        "LANG=C.UTF-8",
    ):
        command += ["-E", setting]
    command += ["sh", "-c", f"exec {scope}"]
    if user:
        command = ["runuser", "-u", user, "--", "env", "XDG_RUNTIME_DIR=/run/user/1000", *command]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=SUITE_SECONDS + 60,
        stdin=subprocess.DEVNULL,
    )
