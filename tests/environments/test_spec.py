"""Environment specifications: equal keys for equal environments."""

from importlib.metadata import version

import pytest

from asgard_async.environments.spec import EnvironmentSpec, environment_spec_for


def test_mlflow_is_added_in_the_service_version() -> None:
    assert environment_spec_for(["xgboost"]).requirements == (
        f"mlflow=={version('mlflow')}",
        "xgboost",
    )
    assert environment_spec_for(["MLflow<3"]).requirements == ("mlflow<3",)
    assert len(environment_spec_for(["mlflow-skinny"]).requirements) == 2
    assert environment_spec_for(["xgboost"], adds_mlflow=False).requirements == ("xgboost",)
    assert environment_spec_for(["mlflow<3"], adds_mlflow=False).requirements == ("mlflow<3",)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["numpy", "scipy"], ["scipy", "numpy"]),
        (["Scikit_Learn >= 1.5, <2"], ["scikit-learn<2,>=1.5"]),
        (["numpy", "numpy"], ["numpy"]),
        (["numpy", "pywin32; sys_platform == 'win32'"], ["numpy"]),
        (["uvicorn[Standard]"], ["uvicorn[standard]"]),
        (["numpy; python_version > '3'"], ["numpy"]),
    ],
)
def test_equivalent_requirements_have_the_same_key(one: list[str], other: list[str]) -> None:
    assert environment_spec_for(one).key == environment_spec_for(other).key


def test_everything_that_changes_the_result_changes_the_key() -> None:
    recipes = [
        environment_spec_for(["numpy"]),
        environment_spec_for(["numpy>=2"]),
        environment_spec_for(["numpy[extra]"]),
        environment_spec_for(["numpy"], index_url="http://127.0.0.1/simple"),
        environment_spec_for(["numpy"], extra_index_urls=["http://127.0.0.1/simple"]),
    ]
    assert len({environment_spec.key for environment_spec in recipes}) == len(recipes)
    assert all(environment_spec.key.isalnum() for environment_spec in recipes)


def test_a_spec_round_trips_as_json() -> None:
    assert isinstance(environment_spec_for([]), EnvironmentSpec)
    assert len(environment_spec_for([]).requirements) == 1


COMMIT = "0123456789abcdef0123456789abcdef01234567"
SHA256 = "0" * 64


@pytest.mark.parametrize(
    ("address", "moves"),
    [
        (f"git+https://host.example/x@{COMMIT}", False),
        (f"git+https://host.example/x@{COMMIT}#subdirectory=y", False),
        (f"https://host.example/x.whl#sha256={SHA256}", False),
        (f"file:///srv/x.whl#subdirectory=y&sha256={SHA256}", False),
        ("git+https://host.example/x", True),
        ("git+https://host.example/x@main", True),
        (f"git+https://host.example/x@{COMMIT[:12]}", True),
        (f"git+https://host.example/x@main#sha256={SHA256}", True),
        (f"https://host.example/{COMMIT}/x.whl", True),
        (f"https://host.example/x.whl?sha256={SHA256}", True),
        ("file:///srv/x.whl", True),
    ],
)
def test_mutable_references_give_single_job_environments(address: str, moves: bool) -> None:
    one, other = (
        environment_spec_for([f"name @ {address}"], job_id=job_id) for job_id in ("a1", "b2")
    )
    assert (one.key != other.key) == moves
    assert one.moving == (("name",) if moves else ())
    assert one.key == environment_spec_for([f"Name@ {address}"], job_id="a1").key
    assert one.key.isalnum()
    assert one.key != environment_spec_for(["name"], job_id="a1").key


def test_references_for_other_machines_do_not_count() -> None:
    elsewhere = "name @ https://host.example/x.whl ; sys_platform == 'win32'"
    assert environment_spec_for([elsewhere], job_id="a1").key == environment_spec_for([]).key
