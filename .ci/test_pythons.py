"""Run the tests that depend most on the interpreter on the other Pythons that Asgard supports.

These are fidelity, forking, attempts, archives, the quick tests of the packages that start
processes, and one environment built with each Python. A Python that this machine lacks is skipped,
by name. uv creates the environments from its cache; they are removed afterwards. All Pythons run at
once, and their output is shown at the end.
"""

import os
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from commands import captured

VERSIONS = ("3.12", "3.13")
QUICK = "not mlflow and not service and not slow and not chaos"
SELECTIONS = (
    (
        "tests/supervisor/test_attempt.py",
        "tests/supervisor/test_attempt_ends.py",
        "tests/supervisor/test_ending.py",
        "tests/system/fidelity",
    ),
    ("tests/jobs/test_environment_phase.py::test_an_environment_is_built_once_and_reused",),
    (
        *("-m", QUICK),
        "tests/core/archives",
        "tests/core/files",
        "tests/environments",
        "tests/executors",
        "tests/jobs",
        "tests/supervisor/test_cold_servers.py",
    ),
)

install_lock = threading.Lock()
"""One at a time: an editable installation writes to the checkout."""


def interpreter(version: str) -> str | None:
    """The path of a Python: in PATH, or one of pyenv's, whose shims find only the selected one."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    versions = (pyenv / "versions").glob(f"{version}.*/bin/python{version}")
    program = "import ensurepip, sys; print(sys.executable)"
    for candidate in (f"python{version}", *sorted(map(str, versions))):
        try:
            done = subprocess.run(
                [candidate, "-c", program], capture_output=True, text=True, check=False
            )
        except FileNotFoundError:
            continue
        if done.returncode == 0:
            return done.stdout.strip()
    return None


def test_on(version: str, python: str) -> bool:
    """Create an environment and run the tests there; return whether all passed."""
    begun = time.monotonic()
    output = [f"--- Python {version}"]

    def run(*command: str | Path) -> bool:
        done = captured(*command)
        output.append(done.stdout)
        return done.returncode == 0

    with tempfile.TemporaryDirectory() as folder:
        new = Path(folder) / "bin/python"
        uv = (sys.executable, "-m", "uv")
        install = ("pip", "install", "--quiet", "--compile-bytecode", "--python", new)
        with install_lock:
            ok = run(*uv, "venv", "--quiet", "--python", python, folder) and run(
                *uv, *install, "--editable", ".[test]"
            )
        output.append(f"installed in {time.monotonic() - begun:.0f} s")
        test = (new, "-m", "pytest", "-q", "-p", "no:cacheprovider")
        for selection in SELECTIONS if ok else ():
            ok = run(*test, *selection) and ok
    say("\n".join([*output, f"--- Python {version}: {time.monotonic() - begun:.0f} s"]))
    return ok


def say(text: str) -> None:
    print(text, flush=True)


def main() -> None:
    own = ".".join(map(str, sys.version_info[:2]))  # all tests run on it anyway
    wanted = {version: interpreter(version) for version in VERSIONS if version != own}
    found = {version: python for version, python in wanted.items() if python is not None}
    with ThreadPoolExecutor() as pool:
        passed = dict(zip(found, pool.map(test_on, found, found.values()), strict=True))
    if skipped := sorted(wanted.keys() - found.keys()):
        say(f"SKIPPED, not on this machine: Python {', '.join(skipped)}")
    if failed := [version for version, ok in passed.items() if not ok]:
        raise SystemExit(f"Tests failed on Python {', '.join(failed)}")


if __name__ == "__main__":
    main()
