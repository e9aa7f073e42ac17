"""The environment variables of a job, which are not inherited from the service."""

import os
from pathlib import Path

RESERVED_NAMES = frozenset(
    {
        "PATH",
        "LANG",
        "HOME",
        "TMPDIR",
        "PYTHONUNBUFFERED",
        "XDG_CACHE_HOME",
        "HF_HOME",
        "MPLCONFIGDIR",
        "MLFLOW_TRACKING_URI",
        "MLFLOW_TRACKING_USERNAME",
        "MLFLOW_TRACKING_PASSWORD",
        "MLFLOW_TRACKING_TOKEN",
        "MLFLOW_EXPERIMENT_NAME",
        "MLFLOW_EXPERIMENT_ID",
        "MLFLOW_RUN_CONTEXT",
    }
)
"""Variables that Asgard sets, or that would override those; jobs cannot set them."""

RESERVED_PREFIX = "ASGARD_"


def is_reserved(name: str) -> bool:
    """Return whether jobs cannot set a variable with this name."""
    return name in RESERVED_NAMES or name.startswith(RESERVED_PREFIX)


def job_variables(*, home: Path, temporary: Path, cache: Path, python: Path) -> dict[str, str]:
    """Return the variables that are set for every job on this machine."""
    return {
        # not resolved: a virtual environment's interpreter is a link beside its scripts
        "PATH": f"{python.parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": os.environ.get("LANG", "C.UTF-8"),
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "PYTHONUNBUFFERED": "1",
        "XDG_CACHE_HOME": str(cache),
        "HF_HOME": str(cache / "huggingface"),
        "MPLCONFIGDIR": str(cache / "matplotlib"),
    }
