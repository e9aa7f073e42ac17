"""The environment variables of a job that Asgard sets itself, and that a user therefore may not."""

RESERVED_PREFIX = "ASGARD_"

RESERVED_NAMES: frozenset[str] = frozenset(
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


def is_reserved(name: str) -> bool:
    """Whether Asgard sets this variable itself."""
    return name in RESERVED_NAMES or name.startswith(RESERVED_PREFIX)
