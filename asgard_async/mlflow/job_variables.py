"""A job's MLflow variables: the server to log to, and the tags that identify its runs."""

import json
import shlex
from collections.abc import Mapping, Sequence

from yarl import URL

from asgard_async.mlflow.address import MlflowAddress
from asgard_async.mlflow.server.tags import ATTEMPT_TAG, JOB_TAG, SERVER_TAG

ARGUMENTS_TAG = "asgard.args"
MAX_TAG_VALUE = 5000
"""The length of a tag's value in characters, for a job's own tags as well."""
LOOPBACK = ("localhost", "127.0.0.1", "::1")


def job_environment(
    address: MlflowAddress,
    *,
    experiment_name: str,
    job_id: str,
    attempt: int,
    server_id: str,
    tags: Mapping[str, str],
    own: Mapping[str, str],
    arguments: Sequence[str] = (),
    token: str = "",
) -> dict[str, str]:
    """Return the variables that make a script log to its experiment and tag its runs.

    The tags are passed in MLFLOW_RUN_CONTEXT: the fluent API and autologging set them on every run.
    `token` is the attempt's own token, used instead of the address's credentials. `own` contains
    the variables that the job was submitted with.
    """
    run_tags = {**tags, JOB_TAG: job_id, ATTEMPT_TAG: str(attempt), SERVER_TAG: server_id}
    if arguments:
        run_tags[ARGUMENTS_TAG] = _shortened(shlex.join(arguments))
    variables = {
        "MLFLOW_TRACKING_URI": address.public_uri,
        "MLFLOW_EXPERIMENT_NAME": experiment_name,
        "MLFLOW_RUN_CONTEXT": json.dumps(run_tags, ensure_ascii=False),
        **_without_proxy(address, own),
    }
    if token or address.is_service_only:
        variables["MLFLOW_TRACKING_TOKEN"] = token
    elif address.token:
        variables["MLFLOW_TRACKING_TOKEN"] = address.token
    elif address.username:
        variables["MLFLOW_TRACKING_USERNAME"] = address.username
        variables["MLFLOW_TRACKING_PASSWORD"] = address.password
    return variables


def _shortened(value: str) -> str:
    return value if len(value) <= MAX_TAG_VALUE else value[: MAX_TAG_VALUE - 1] + "…"


def _without_proxy(address: MlflowAddress, own: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that let a job with a proxy reach MLflow directly.

    Both spellings, since libraries differ in which one they prefer.
    """
    hosts = dict.fromkeys((*LOOPBACK, URL(address.public_uri).host or "localhost"))
    upper, lower = own.get("NO_PROXY", ""), own.get("no_proxy", "")
    return {
        name: ",".join(filter(None, (text, *hosts)))
        for name, text in {"NO_PROXY": upper or lower, "no_proxy": lower or upper}.items()
    }
