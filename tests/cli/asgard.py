"""The `asgard` command as people run it."""

import os
import subprocess
import sys
from pathlib import Path

DEADLINE_SECONDS = 60


def asgard(*arguments: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end, with only these settings in its environment."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("ASGARD_", "MLFLOW_"))}
    return subprocess.run(
        [sys.executable, "-m", "asgard_async", *map(str, arguments)],
        env=inherited | environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
