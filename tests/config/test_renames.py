"""Sections under a former name are read with a warning; the present name wins."""

from pathlib import Path

import pytest

from asgard_async.config import SECTIONS, Config, ConfigError, load_config
from asgard_async.config.renames import RENAMED_SECTIONS


def from_text(tmp_path: Path, text: str, **environ: str) -> Config:
    file = tmp_path / "asgard.toml"
    file.write_text(text)
    return load_config(file, environ=environ)


def test_every_former_name_leads_to_a_section() -> None:
    assert set(RENAMED_SECTIONS.values()) <= SECTIONS.keys()
    assert not RENAMED_SECTIONS.keys() & SECTIONS.keys()


def test_a_current_name_gives_no_warning(tmp_path: Path) -> None:
    config = from_text(tmp_path, "[http]\nidle_seconds = 9\n", ASGARD_HTTP__BODY_SECONDS="8")
    assert config.warnings == ()


def test_a_file_may_use_a_former_name(tmp_path: Path) -> None:
    config = from_text(tmp_path, "[edges]\nidle_seconds = 9\n")
    assert config.http.idle_seconds == 9
    assert config.sources == {"http.idle_seconds": str(tmp_path / "asgard.toml")}
    assert config.warnings == (
        f"{tmp_path / 'asgard.toml'}: [edges] is now [http]; rename the section.",
    )


def test_a_variable_may_use_a_former_name() -> None:
    config = load_config(environ={"ASGARD_EDGES__IDLE_SECONDS": "9"})
    assert config.http.idle_seconds == 9
    assert config.sources == {"http.idle_seconds": "ASGARD_EDGES__IDLE_SECONDS"}
    assert config.warnings == (
        "ASGARD_EDGES__IDLE_SECONDS: [edges] is now [http]; use ASGARD_HTTP__IDLE_SECONDS.",
    )


@pytest.mark.parametrize("order", [("edges", "http"), ("http", "edges")])
def test_the_current_name_wins_in_a_file(tmp_path: Path, order: tuple[str, str]) -> None:
    keys = {"edges": "idle_seconds = 1\nbody_seconds = 2", "http": "idle_seconds = 9"}
    config = from_text(tmp_path, "".join(f"[{name}]\n{keys[name]}\n" for name in order))
    assert (config.http.idle_seconds, config.http.body_seconds) == (9, 2)
    (warning,) = config.warnings
    assert warning.endswith("rename the section (idle_seconds ignored: also set in [http]).")


def test_the_current_name_wins_among_variables() -> None:
    config = load_config(
        environ={"ASGARD_EDGES__IDLE_SECONDS": "1", "ASGARD_HTTP__IDLE_SECONDS": "9"}
    )
    assert config.http.idle_seconds == 9
    (warning,) = config.warnings
    assert warning.endswith("ignored, since ASGARD_HTTP__IDLE_SECONDS is set too.")


def test_a_variable_overrides_the_file_under_any_name(tmp_path: Path) -> None:
    config = from_text(tmp_path, "[http]\nidle_seconds = 1\n", ASGARD_EDGES__IDLE_SECONDS="9")
    assert config.http.idle_seconds == 9


def test_an_unknown_key_of_a_former_name_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError,
        match=r"unknown key 'idle' in \[edges\]; did you mean 'idle_seconds'\? allowed: max",
    ):
        from_text(tmp_path, "[edges]\nidle = 9\n")
    with pytest.raises(ConfigError, match=r"^ASGARD_EDGES__IDLE: unknown key 'idle' in \[edges\]"):
        load_config(environ={"ASGARD_EDGES__IDLE": "9"})


def test_a_former_name_as_a_key_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="key 'edges' is outside a section"):
        from_text(tmp_path, "edges = 1\n")
    with pytest.raises(ConfigError, match="key 'http' is outside a section"):
        from_text(tmp_path, "http = 1\n[edges]\nidle_seconds = 9\n")
