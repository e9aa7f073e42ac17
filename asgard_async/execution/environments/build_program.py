"""Builds one environment; runs under a shim, so that it outlives the service.

`python -I -S build_program.py UV PYTHON STAGING FINAL [REFRESHED…]`, the requirements on lines of
STAGING.txt; of the packages REFRESHED nothing that uv has cached is taken. What it prints is shown
to the waiting jobs, addresses without their credentials. Standard library alone.
"""

import os
import shutil
import subprocess
import sys

# found by its place; last, since that place is site-packages where Asgard is installed
sys.path.append(os.path.abspath(f"{__file__}/../../../.."))

from asgard_async.redaction import without_secrets


def run(command: "list[str]") -> int:
    """Run a command and pass on what it prints, line by line; its exit code."""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        assert process.stdout is not None  # noqa: S101  # it is a pipe
        for line in process.stdout:
            print(without_secrets(line), end="", flush=True)  # noqa: T201  # to the log
    return process.returncode


def main() -> int:
    """Build aside, then rename: what is called FINAL is whole."""
    uv, python, staging, final, *refreshed = sys.argv[1:]
    requirements = f"{staging}.txt"
    if os.path.isdir(final):
        return 0  # somebody else was quicker
    shutil.rmtree(staging, ignore_errors=True)
    steps = (
        [uv, "venv", "--quiet", "--relocatable", "--python", python, f"{staging}/venv"],
        [
            *(uv, "pip", "install", "--no-progress"),
            *("--python", f"{staging}/venv/bin/python", "--requirements", requirements),
            *(f"--refresh-package={name}" for name in refreshed),
        ],
    )
    for step in steps:
        if code := run(step):
            shutil.rmtree(staging, ignore_errors=True)
            return code
    with open(requirements) as asked, open(f"{staging}/requirements.txt", "w") as kept:
        kept.write(without_secrets(asked.read()))
    os.unlink(requirements)
    os.close(os.open(f"{staging}/lock", os.O_CREAT | os.O_WRONLY, 0o600))
    # not one fsync per file of thousands: the environment can be built again
    os.sync()
    os.rename(staging, final)
    return 0


if __name__ == "__main__":
    sys.exit(main())
