"""The MLflow variables of a job."""

import json

import pytest

from asgard_async.mlflow.address import MlflowAddress
from asgard_async.mlflow.job_variables import job_environment


def environment(
    address: MlflowAddress, tags: dict[str, str] | None = None, own: dict[str, str] | None = None
) -> dict[str, str]:
    return job_environment(
        address,
        experiment_name='né\'w "one"',
        job_id="0a1b2c3d",
        attempt=2,
        server_id="s-1",
        tags=tags or {},
        own=own or {},
    )


def test_job_logs_to_its_experiment_and_its_runs_are_marked() -> None:
    variables = environment(MlflowAddress.parse("http://127.0.0.1:5000"), {"team": "ä/b"})
    assert variables["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:5000"
    assert variables["MLFLOW_EXPERIMENT_NAME"] == 'né\'w "one"'
    assert json.loads(variables["MLFLOW_RUN_CONTEXT"]) == {
        "team": "ä/b",
        "asgard.job_id": "0a1b2c3d",
        "asgard.attempt": "2",
        "asgard.server_id": "s-1",
    }


def test_credentials_are_passed_separately() -> None:
    variables = environment(MlflowAddress.parse("http://ann:hush@host:1"))
    assert variables["MLFLOW_TRACKING_URI"] == "http://host:1"
    assert variables["MLFLOW_TRACKING_USERNAME"] == "ann"
    assert variables["MLFLOW_TRACKING_PASSWORD"] == "hush"
    assert "MLFLOW_TRACKING_TOKEN" not in variables

    bearer = environment(MlflowAddress.parse("http://host:1", token="abc"))
    assert bearer["MLFLOW_TRACKING_TOKEN"] == "abc"
    assert "MLFLOW_TRACKING_USERNAME" not in bearer


def test_user_tags_cannot_override_the_job_tags() -> None:
    variables = environment(MlflowAddress.parse("http://host"), {"asgard.job_id": "ffffffff"})
    assert json.loads(variables["MLFLOW_RUN_CONTEXT"])["asgard.job_id"] == "0a1b2c3d"


OURS = "localhost,127.0.0.1,::1"


@pytest.mark.parametrize(
    ("own", "upper", "lower"),
    [
        ({}, OURS, OURS),
        ({"NO_PROXY": "a.example"}, f"a.example,{OURS}", f"a.example,{OURS}"),
        ({"no_proxy": "b.example"}, f"b.example,{OURS}", f"b.example,{OURS}"),
        ({"NO_PROXY": "a", "no_proxy": "b"}, f"a,{OURS}", f"b,{OURS}"),
    ],
)
def test_a_proxy_is_not_used_for_mlflow(own: dict[str, str], upper: str, lower: str) -> None:
    variables = environment(MlflowAddress.parse("http://127.0.0.1:5000"), own=own)
    assert (variables["NO_PROXY"], variables["no_proxy"]) == (upper, lower)


def test_a_proxy_is_not_used_for_an_external_mlflow() -> None:
    variables = environment(MlflowAddress.parse("https://ann:hush@mlflow.example:8443/x"))
    assert variables["NO_PROXY"] == f"{OURS},mlflow.example"
