"""The MLflow variables of a job: where to log, and the marks by which its runs are found again."""

import json
from collections.abc import Mapping

from asgard_async.mlflow.address import MlflowAddress

JOB_TAG = "asgard.job_id"
ATTEMPT_TAG = "asgard.attempt"
SERVER_TAG = "asgard.server_id"

VARIABLES = frozenset(
    {
        "MLFLOW_TRACKING_URI",
        "MLFLOW_TRACKING_USERNAME",
        "MLFLOW_TRACKING_PASSWORD",
        "MLFLOW_TRACKING_TOKEN",
        "MLFLOW_EXPERIMENT_NAME",
        "MLFLOW_RUN_CONTEXT",
    }
)
"""Every variable that Asgard may set for tracking; a job's own variables must not name them."""


def job_environment(
    address: MlflowAddress,
    *,
    experiment_name: str,
    job_id: str,
    attempt: int,
    server_id: str,
    tags: Mapping[str, str],
) -> dict[str, str]:
    """The variables that make a script's runs appear in its experiment, marked as the job's.

    The marks travel in MLFLOW_RUN_CONTEXT: the fluent API and autologging put them on every run.
    """
    marks = {**tags, JOB_TAG: job_id, ATTEMPT_TAG: str(attempt), SERVER_TAG: server_id}
    variables = {
        "MLFLOW_TRACKING_URI": address.public_uri,
        "MLFLOW_EXPERIMENT_NAME": experiment_name,
        "MLFLOW_RUN_CONTEXT": json.dumps(marks, ensure_ascii=False),
    }
    if address.token:
        variables["MLFLOW_TRACKING_TOKEN"] = address.token
    elif address.username:
        variables["MLFLOW_TRACKING_USERNAME"] = address.username
        variables["MLFLOW_TRACKING_PASSWORD"] = address.password
    return variables
