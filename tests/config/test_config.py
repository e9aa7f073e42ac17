"""Configuration: layers, validation, and the errors of an invalid one."""

import dataclasses
import os
from pathlib import Path

import pytest

from asgard_async.config import SECTIONS, Config, ConfigError, load_config


def from_text(tmp_path: Path, text: str, **environ: str) -> Config:
    file = tmp_path / "asgard.toml"
    file.write_text(text)
    return load_config(file, environ=environ)


def test_defaults_come_from_the_packaged_file() -> None:
    config = load_config(environ={})
    assert config.server.host == "127.0.0.1"
    assert config.server.port == 8000
    assert config.jobs.timeout_default == 300
    assert (config.jobs.timeout_min, config.jobs.timeout_max) == (60, 3600)
    assert config.mlflow.embedded
    assert config.sources == {}


def test_a_file_overrides_only_the_keys_it_names(tmp_path: Path) -> None:
    config = from_text(tmp_path, "[server]\nport = 9000\n")
    assert config.server.port == 9000
    assert config.server.host == "127.0.0.1"
    assert config.sources == {"server.port": str(tmp_path / "asgard.toml")}


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    config = from_text(tmp_path, "[server]\nport = 9000\n", ASGARD_SERVER__PORT="9001")
    assert config.server.port == 9001
    assert config.sources["server.port"] == "ASGARD_SERVER__PORT"


def test_the_command_line_overrides_the_environment() -> None:
    config = load_config(
        environ={"ASGARD_SERVER__PORT": "9001"}, overrides={"server": {"port": 9002}}
    )
    assert config.server.port == 9002
    assert config.sources["server.port"] == "command line"


def test_the_process_environment_is_read_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASGARD_JOBS__MAX_QUEUED_JOBS", "7")
    assert load_config().jobs.max_queued_jobs == 7


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("ASGARD_JOBS__MAX_CONCURRENT_JOBS", "4", 4),
        ("ASGARD_JOBS__STOP_GRACE_SECONDS", "2.5", 2.5),
        ("ASGARD_JOBS__STOP_GRACE_SECONDS", "3", 3.0),
        ("ASGARD_JOBS__REQUEUE_LOST", "true", True),
        ("ASGARD_JOBS__REQUEUE_LOST", "False", False),
        ("ASGARD_LOGGING__LEVEL", "debug", "debug"),
        (
            "ASGARD_MLFLOW__PASSWORD",
            "12345",
            "12345",
        ),  # text stays text
        ("ASGARD_MLFLOW__ARTIFACTS_DESTINATION", "S3://Bucket/Path", "S3://Bucket/Path"),
    ],
)
def test_a_variable_is_parsed_as_its_key_type(name: str, text: str, expected: object) -> None:
    environ = {name: text}
    if name.endswith("PASSWORD"):
        environ["ASGARD_MLFLOW__USERNAME"] = "someone"
    section, _, key = name.removeprefix("ASGARD_").lower().partition("__")
    value = getattr(getattr(load_config(environ=environ), section), key)
    assert value == expected
    assert type(value) is type(expected)


def test_variables_without_a_section_are_ignored() -> None:
    assert load_config(environ={"ASGARD_URL": "x", "ASGARD_JOB_ID": "1"}).sources == {}


def test_the_data_directory_has_its_own_variable() -> None:
    config = load_config(environ={"ASGARD_DATA_DIR": "/srv/asgard"})
    assert config.data_dir == Path("/srv/asgard")
    assert config.sources == {"server.data_dir": "ASGARD_DATA_DIR"}


def test_the_data_directory_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/someone")
    relative = load_config(environ={"ASGARD_DATA_DIR": "data"})
    assert relative.data_dir == tmp_path / "data"
    at_home = load_config(environ={"ASGARD_DATA_DIR": "~/data"})
    assert at_home.data_dir == Path("/home/someone/data")


def test_zero_concurrent_jobs_means_one_per_core() -> None:
    assert load_config(environ={}).jobs.slots == len(os.sched_getaffinity(0))
    named = load_config(environ={"ASGARD_JOBS__MAX_CONCURRENT_JOBS": "3"})
    assert named.jobs.slots == 3


INVALID_VALUES = [
    ("server", "host", '""', "length >= 1"),
    ("server", "port", "-1", ">= 0"),
    ("server", "port", "65536", "<= 65535"),
    ("server", "port", '"http"', "an integer"),
    ("server", "port", "80.5", "an integer"),
    ("server", "port", "true", "an integer"),
    ("server", "data_dir", '""', "length >= 1"),
    ("server", "max_body_bytes", "10", ">= 4096"),
    ("jobs", "max_concurrent_jobs", "-1", ">= 0"),
    ("jobs", "max_queued_jobs", "0", ">= 1"),
    ("jobs", "requeue_lost", '"perhaps"', "true or false"),
    ("jobs", "queue_timeout", "-0.5", ">= 0"),
    ("jobs", "queue_timeout", "nan", ">= 0"),
    ("jobs", "queue_timeout", "inf", "<= 1000000000"),
    ("jobs", "script_check_seconds", "0", "> 0"),
    ("jobs", "max_queued_jobs", "99999999999999999999", "<= 1000000000"),
    ("jobs", "timeout_max", "1e30", "an integer"),
    ("limits", "memory_mb", "9007199254740993", "<= 1000000000"),
    ("logs", "max_bytes_per_job", "1", ">= 65536"),
    ("mlflow", "tracking_uri", '"ftp://example.org"', "http:// or https://"),
    ("mlflow", "tracking_uri", '"mlruns"', "http:// or https://"),
    ("mlflow", "tracking_uri", '"http://host:99999"', "such as http://host:5000"),
    ("mlflow", "tracking_uri", '"http://[host"', "such as http://host:5000"),
    ("mlflow", "public_url", '"http:///ui"', "such as http://host:5000"),
    ("mlflow", "token", '"line\\n"', "without spaces or line breaks"),
    ("server", "data_dir", '"~nobody-of-that-name/x"', "no such home directory"),
    ("mlflow", "username", "5", "text"),
    ("tracking", "refresh_seconds", "0", "> 0"),
    ("logging", "level", '"loud"', "'debug', 'info', 'warning', 'error'"),
]


def test_a_body_must_fit_the_largest_script_in_base64(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"at least 8004096: \[jobs\] max_script_bytes in base64"):
        from_text(tmp_path, "[jobs]\nmax_script_bytes = 6000000\n")
    from_text(tmp_path, "[jobs]\nmax_script_bytes = 6000000\n[server]\nmax_body_bytes = 8004096\n")


@pytest.mark.parametrize(("section", "key", "value", "allowed"), INVALID_VALUES)
def test_an_invalid_value_names_file_key_and_allowed_values(
    tmp_path: Path, section: str, key: str, value: str, allowed: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        from_text(tmp_path, f"[{section}]\n{key} = {value}\n")
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'asgard.toml'}: [{section}] {key}: ")
    assert allowed in message


def test_an_invalid_variable_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^ASGARD_SERVER__PORT: \[server\] port: .*'http'"):
        load_config(environ={"ASGARD_SERVER__PORT": "http"})


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            "[server]\nprot = 1\n",
            "unknown key 'prot' in [server]; did you mean 'port'? allowed: host, ",
        ),
        (
            "[sever]\nport = 1\n",
            "unknown section [sever]; did you mean [server]? allowed: [server], ",
        ),
        (
            "[sever]\n",
            "unknown section [sever]; did you mean [server]? allowed: [server], [http], ",
        ),
        ("[x]\nport = 1\n", "unknown section [x]; did you mean [server] or [mlflow]? allowed: "),
        ("[x]\nyyyyyy = 1\n", "unknown section [x]; allowed: "),
        (
            "[server]\ntimeout_maximum = 1\n",
            "unknown key 'timeout_maximum' in [server]; did you mean 'timeout_max' in [jobs]? ",
        ),
        ("port = 1\n", "key 'port' is outside a section; allowed sections: [server], "),
        ("[server\n", "invalid TOML: "),
    ],
)
def test_an_unknown_name_or_broken_file_is_an_error(
    tmp_path: Path, text: str, complaint: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        from_text(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path / 'asgard.toml'}: {complaint}")


@pytest.mark.parametrize("name", ["ASGARD_SERVER__PROT", "ASGARD_SEVER__PORT", "ASGARD_JOBS__"])
def test_a_misspelt_variable_is_an_error(name: str) -> None:
    with pytest.raises(ConfigError, match=f"^{name}: unknown "):
        load_config(environ={name: "1"})


def test_all_errors_are_reported_at_once(tmp_path: Path) -> None:
    text = "top = 1\n[server]\nport = 'x'\nprot = 1\n[jbos]\na = 1\n[jobs]\ntimeout_min = 0\n"
    environ = {"ASGARD_LOGS__NOTHING": "1", "ASGARD_MLFLOW__USERNAME": "u"}
    with pytest.raises(ConfigError) as caught:
        from_text(tmp_path, text, **environ)
    lines = str(caught.value).splitlines()
    found = [line.partition(": ")[2] for line in lines]
    assert len(found) == 6
    for start in (
        "key 'top' is outside",
        "unknown key 'prot'",
        "unknown section [jbos]; did you mean [jobs]?",
        "unknown key 'nothing' in [logs]",
        "[server] port: expected an integer",
        "[jobs] timeout_min: ",
    ):
        assert any(one.startswith(start) for one in found), start
    with pytest.raises(ConfigError) as caught:
        from_text(tmp_path, "[jobs]\ntimeout_max = 70\n[sever]\n", **environ)
    assert len(str(caught.value).splitlines()) == 4  # contradictions as well


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml: cannot be read: No such file"):
        load_config(tmp_path / "nowhere.toml", environ={})
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"binary\.toml: invalid TOML"):
        load_config(binary, environ={})


@pytest.mark.parametrize(
    ("environ", "complaint"),
    [
        ({"JOBS__TIMEOUT_MIN": "5000"}, "[jobs] timeout_min: must not exceed timeout_max (3600)"),
        (
            {"JOBS__TIMEOUT_DEFAULT": "30"},
            "[jobs] timeout_default: must be between timeout_min (60)",
        ),
        ({"JOBS__TIMEOUT_MAX": "200"}, "[jobs] timeout_default: must be between"),
        ({"MLFLOW__TOKEN": "t", "MLFLOW__USERNAME": "u", "MLFLOW__PASSWORD": "p"}, "not both"),
        ({"MLFLOW__USERNAME": "u"}, "username and password must be set together"),
    ],
)
def test_contradicting_values_are_an_error(environ: dict[str, str], complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(environ={f"ASGARD_{name}": value for name, value in environ.items()})
    assert complaint in str(caught.value)


def test_secrets_are_neither_shown_nor_quoted(tmp_path: Path) -> None:
    config = load_config(environ={"ASGARD_MLFLOW__TOKEN": "s3cret"})
    assert "s3cret" not in repr(config)
    address = {"ASGARD_MLFLOW__TRACKING_URI": "http://someone:s3cret@host"}
    assert "s3cret" not in repr(load_config(environ=address))
    with pytest.raises(ConfigError) as caught:
        from_text(tmp_path, "[mlflow]\npassword = 987654\n")
    assert "987654" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["http", "ftp"])
@pytest.mark.parametrize("place", ["host:99999", "[host", "p@ss@host:x"])
def test_credentials_in_an_address_are_not_quoted(scheme: str, place: str) -> None:
    uri = f"{scheme}://someone:s3cret@{place}/?token=s3cret"
    with pytest.raises(ConfigError) as caught:
        load_config(environ={"ASGARD_MLFLOW__TRACKING_URI": uri})
    assert "ASGARD_MLFLOW__TRACKING_URI: [mlflow] tracking_uri: " in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_configuration_cannot_be_changed() -> None:
    config = load_config(environ={})
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.server.port = 1  # type: ignore[misc]  # the attempt under test


def test_every_section_has_a_record() -> None:
    config = load_config(environ={})
    assert set(SECTIONS) == {
        field.name
        for field in dataclasses.fields(config)
        if field.name not in {"sources", "warnings"}
    }
