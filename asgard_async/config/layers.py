"""Sources of configuration: config.toml, then a configuration file, then `ASGARD_SECTION__KEY`."""

import os
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Literal, NamedTuple

from asgard_async.config.consistency import check_together
from asgard_async.config.conversion import convert_section
from asgard_async.config.renames import (
    RENAMED_SECTIONS,
    current_name,
    renamed_in_file,
    renamed_variable,
)
from asgard_async.config.sections import SECTIONS, Config, ConfigError, field_types

ENV_PREFIX = "ASGARD_"
DATA_DIR_VARIABLE = "ASGARD_DATA_DIR"


class Setting(NamedTuple):
    """A value for a key, and the file or variable that sets it."""

    source: str
    section: str
    key: str
    value: Any


class Layer(NamedTuple):
    """The settings of one source; if a key occurs twice, the last setting wins."""

    settings: list[Setting]
    warnings: list[str]


def load_config(
    file: Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
) -> Config:
    """Load the configuration from the defaults, `file`, `environ` and `overrides`, in this order.

    Later sources take precedence. `environ` defaults to `os.environ`.

    Raises:
        ConfigError: a file cannot be read, or a key or value is invalid.
    """
    values = _read_defaults()
    sources: dict[str, str] = {}
    layers = [_read_environment(os.environ if environ is None else environ)]
    if file is not None:
        layers.insert(0, _read_file(file))
    if overrides:
        layers.append(_from_command_line(overrides))
    for layer in layers:
        for source, section, key, value in layer.settings:
            values[section][key] = value
            sources[f"{section}.{key}"] = source
    config = Config(
        sources=sources,
        warnings=tuple(warning for layer in layers for warning in layer.warnings),
        **{name: convert_section(name, values[name], sources) for name in SECTIONS},
    )
    check_together(config)
    return config


def _read_defaults() -> dict[str, dict[str, Any]]:
    return tomllib.loads((resources.files("asgard_async") / "config.toml").read_text("utf-8"))


def _read_file(file: Path) -> Layer:
    try:
        document = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: invalid TOML: {error}") from error
    settings: list[Setting] = []
    # former names first, so that a section's current name wins
    for section, keys in sorted(document.items(), key=lambda item: item[0] not in RENAMED_SECTIONS):
        if not isinstance(keys, dict):
            raise ConfigError(
                f"{file}: key {section!r} is outside a section; allowed sections: "
                + ", ".join(f"[{name}]" for name in SECTIONS)
            )
        _check_name(str(file), section, None)
        for key, value in keys.items():
            _check_name(str(file), section, key)
            settings.append(Setting(str(file), current_name(section), key, value))
    warnings = [
        renamed_in_file(str(file), old, document[old].keys() & document.get(new, {}).keys())
        for old, new in RENAMED_SECTIONS.items()
        if old in document
    ]
    return Layer(settings, warnings)


def _read_environment(environ: Mapping[str, str]) -> Layer:
    former: list[Setting] = []
    present: list[Setting] = []
    if environ.get(DATA_DIR_VARIABLE):
        path = environ[DATA_DIR_VARIABLE]
        present.append(Setting(DATA_DIR_VARIABLE, "server", "data_dir", path))
    for name, text in sorted(environ.items()):
        section, separator, key = name.removeprefix(ENV_PREFIX).partition("__")
        if not name.startswith(ENV_PREFIX) or not separator:
            continue
        section, key = section.lower(), key.lower()
        _check_name(name, section, key)
        new = current_name(section)
        setting = Setting(name, new, key, _parse_variable(new, key, text))
        (former if section in RENAMED_SECTIONS else present).append(setting)
    present_keys = {(setting.section, setting.key) for setting in present}
    warnings = [
        renamed_variable(
            setting.source,
            setting.source.removeprefix(ENV_PREFIX).partition("__")[0].lower(),
            f"{ENV_PREFIX}{setting.section}__{setting.key}".upper(),
            is_set_twice=(setting.section, setting.key) in present_keys,
        )
        for setting in former
    ]
    return Layer([*former, *present], warnings)


def _from_command_line(overrides: Mapping[str, Mapping[str, Any]]) -> Layer:
    settings = [
        Setting("command line", section, key, value)
        for section, keys in overrides.items()
        for key, value in keys.items()
    ]
    for setting in settings:
        _check_name(setting.source, setting.section, setting.key)
    return Layer(settings, [])


def _parse_variable(section: str, key: str, text: str) -> Any:
    if _kind_of(section, key) is str:
        return text
    try:
        word = text.strip()
        # shells also write True and FALSE
        word = word.lower() if word.lower() in {"true", "false"} else word
        return tomllib.loads(f"value = {word}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _kind_of(section: str, key: str) -> Any:
    annotation = field_types(section)[key]
    annotation = getattr(annotation, "__origin__", annotation)
    return str if annotation is Literal else annotation


def _check_name(source: str, section: str, key: str | None) -> None:
    name = current_name(section)
    if name not in SECTIONS:
        raise ConfigError(
            f"{source}: unknown section [{section}]; allowed: "
            + ", ".join(f"[{name}]" for name in SECTIONS)
        )
    if key is not None and key not in field_types(name):
        raise ConfigError(
            f"{source}: unknown key {key!r} in [{section}]; allowed: "
            + ", ".join(field_types(name))
        )
