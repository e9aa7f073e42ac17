"""`asgard config check`."""

from pathlib import Path

from asgard_async import __version__
from tests.support import asgard_command
from tests.support.preloaded_command import asgard


def test_effective_values_are_printed_with_their_source(tmp_path: Path) -> None:
    file = tmp_path / "asgard.toml"
    file.write_text("[server]\nport = 9000\n")
    done = asgard("config", "check", "--config", file, ASGARD_JOBS__MAX_QUEUED_JOBS="5")
    assert done.returncode == 0, done.stderr
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert f"port = 9000  ({file})" in lines
    assert "max_queued_jobs = 5  (ASGARD_JOBS__MAX_QUEUED_JOBS)" in lines
    assert "host = '127.0.0.1'  (default)" in lines
    assert lines[-1] == "The configuration is valid."


def test_an_invalid_value_is_reported_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "asgard.toml"
    file.write_text("[server]\nport = 'http'\n")
    done = asgard("config", "check", "--config", file)
    assert done.returncode == 2
    assert f"{file}: [server] port: expected an integer" in done.stderr
    assert "Traceback" not in done.stderr


def test_all_errors_are_printed_with_the_nearest_names(tmp_path: Path) -> None:
    file = tmp_path / "asgard.toml"
    file.write_text("[server]\nprot = 1\nport = 'http'\n[job]\n[jobs]\nmax_body_bytes = 5\n")
    done = asgard("config", "check", "--config", file)
    assert done.returncode == 2
    assert len([line for line in done.stderr.splitlines() if f"{file}: " in line]) == 4
    for text in (
        "did you mean 'port'?",
        "did you mean [jobs]?",
        "did you mean 'max_body_bytes' in [server] or [mlflow]?",
        "[server] port: expected an integer",
    ):
        assert text in done.stderr


def test_a_renamed_section_is_reported(tmp_path: Path) -> None:
    file = tmp_path / "asgard.toml"
    file.write_text("[edges]\nidle_seconds = 9\n")
    done = asgard("config", "check", "--config", file)
    assert done.returncode == 0, done.stderr
    assert f"Warning: {file}: [edges] is now [http]; rename the section." in done.stderr
    assert f"idle_seconds = 9.0  ({file})" in done.stdout


def test_secrets_are_not_printed() -> None:
    done = asgard("config", "check", ASGARD_MLFLOW__TOKEN="s3cret")
    assert done.returncode == 0, done.stderr
    assert "token = (set)" in done.stdout
    assert "s3cret" not in done.stdout


def test_credentials_in_an_address_are_not_printed() -> None:
    uri = "http://someone:s3cret@host:5000/mlflow"
    done = asgard("config", "check", ASGARD_MLFLOW__TRACKING_URI=uri)
    assert done.returncode == 0, done.stderr
    assert "tracking_uri = 'http://…@host:5000/mlflow'" in done.stdout


def test_version_and_help_are_printed() -> None:
    assert asgard("--version").stdout == f"asgard, version {__version__}\n"
    assert "serve" in asgard("--help").stdout


WITHOUT_BOTO3 = 'import sys\nsys.modules["boto3"] = None\n'


def test_a_missing_artifact_driver_stops_the_start(
    tmp_path: Path,
) -> None:
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_BOTO3)
    settings = {
        "PYTHONPATH": str(tmp_path),
        "ASGARD_MLFLOW__ARTIFACTS_DESTINATION": "s3://models",
        "ASGARD_DATA_DIR": str(tmp_path / "data"),
    }
    for command in (("config", "check"), ("serve", "--port", "0")):
        done = asgard_command.asgard(*command, **settings)  # with `sitecustomize`
        assert done.returncode != 0
        assert done.stderr.splitlines()[-1] == (
            "Error: ASGARD_MLFLOW__ARTIFACTS_DESTINATION: [mlflow] artifacts_destination: s3://"
            " requires boto3, which is not installed; install it with:"
            " pip install 'asgard-async[s3]'"
        )
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "data").exists()


def test_a_password_in_an_artifact_store_is_not_printed() -> None:
    uri = "sftp://someone:s3cret@host/models"
    done = asgard("config", "check", ASGARD_MLFLOW__ARTIFACTS_DESTINATION=uri)
    assert done.returncode == 0, done.stderr
    assert "artifacts_destination = 'sftp://…@host/models'" in done.stdout
