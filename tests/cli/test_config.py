"""`asgard config check`."""

from pathlib import Path

from asgard_async import __version__
from tests.cli.asgard import asgard


def test_what_applies_is_printed_with_its_source(tmp_path: Path) -> None:
    file = tmp_path / "asgard.toml"
    file.write_text("[server]\nport = 9000\n")
    done = asgard("config", "check", "--config", file, ASGARD_JOBS__MAX_QUEUED_JOBS="5")
    assert done.returncode == 0, done.stderr
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert f"port = 9000  ({file})" in lines
    assert "max_queued_jobs = 5  (ASGARD_JOBS__MAX_QUEUED_JOBS)" in lines
    assert "host = '127.0.0.1'  (default)" in lines
    assert lines[-1] == "The configuration is valid."


def test_a_wrong_value_is_told_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "asgard.toml"
    file.write_text("[server]\nport = 'http'\n")
    done = asgard("config", "check", "--config", file)
    assert done.returncode == 2
    assert f"{file}: [server] port: expected a whole number" in done.stderr
    assert "Traceback" not in done.stderr


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


def test_version_and_help() -> None:
    assert asgard("--version").stdout == f"asgard, version {__version__}\n"
    assert "serve" in asgard("--help").stdout
