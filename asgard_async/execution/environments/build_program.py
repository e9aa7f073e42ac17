"""Builds one environment; runs under a shim, so that it outlives the service.

`python -I -S build_program.py UV PYTHON STAGING FINAL`, the requirements on lines of
STAGING.txt. What it prints is shown to the waiting jobs. Standard library alone.
"""

import os
import shutil
import subprocess
import sys


def main() -> int:
    """Build aside, then rename: what is called FINAL is whole."""
    uv, python, staging, final = sys.argv[1:]
    requirements = f"{staging}.txt"
    if os.path.isdir(final):
        return 0  # somebody else was quicker
    shutil.rmtree(staging, ignore_errors=True)
    steps = (
        [uv, "venv", "--quiet", "--relocatable", "--python", python, f"{staging}/venv"],
        [
            *(uv, "pip", "install", "--no-progress"),
            *("--python", f"{staging}/venv/bin/python", "--requirements", requirements),
        ],
    )
    for step in steps:
        code = subprocess.run(step, check=False).returncode
        if code:
            shutil.rmtree(staging, ignore_errors=True)
            return code
    shutil.move(requirements, f"{staging}/requirements.txt")
    os.close(os.open(f"{staging}/lock", os.O_CREAT | os.O_WRONLY, 0o600))
    # not one fsync per file of thousands: the environment can be built again
    os.sync()
    os.rename(staging, final)
    return 0


if __name__ == "__main__":
    sys.exit(main())
