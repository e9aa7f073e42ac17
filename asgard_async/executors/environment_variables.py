"""The environment of a job: clean, and nothing of the service's."""

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
"""Names that Asgard sets, or that would undo what it sets; a job cannot bring its own."""

RESERVED_PREFIX = "ASGARD_"


def is_reserved(name: str) -> bool:
    """Whether a job may not bring a variable of this name."""
    return name in RESERVED_NAMES or name.startswith(RESERVED_PREFIX)


def job_variables(attempt: Path, cache: Path, python: Path) -> dict[str, str]:
    """The variables that every job gets, whatever it asks for."""
    return {
        # not resolved: a virtual environment's interpreter is a link beside its scripts
        "PATH": f"{python.parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": os.environ.get("LANG", "C.UTF-8"),
        "HOME": str(attempt / "home"),
        "TMPDIR": str(attempt / "tmp"),
        "PYTHONUNBUFFERED": "1",
        "XDG_CACHE_HOME": str(cache),
        "HF_HOME": str(cache / "huggingface"),
        "MPLCONFIGDIR": str(cache / "matplotlib"),
    }
