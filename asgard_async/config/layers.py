"""Sources of configuration: config.toml, then a configuration file, then `ASGARD_SECTION__KEY`."""

import os
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Literal, NamedTuple

from asgard_async.config.consistency import problems_together
from asgard_async.config.conversion import convert_section
from asgard_async.config.names import problem_of_name
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
    errors: list[str]


def load_config(
    file: Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
) -> Config:
    """Load the configuration from the defaults, `file`, `environ` and `overrides`, in this order.

    Later sources take precedence. `environ` defaults to `os.environ`.

    Raises:
        ConfigError: a file cannot be read, or keys or values are invalid: all that are.
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
    errors = [error for layer in layers for error in layer.errors]
    sections = {name: convert_section(name, values[name], sources, errors) for name in SECTIONS}
    if errors and None in sections.values():
        raise ConfigError("\n".join(errors))
    config = Config(
        sources=sources,
        warnings=tuple(warning for layer in layers for warning in layer.warnings),
        **sections,
    )
    errors += problems_together(config)
    if errors:
        raise ConfigError("\n".join(errors))
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
    errors: list[str] = []
    # former names first, so that a section's current name wins
    for section, keys in sorted(document.items(), key=lambda item: item[0] not in RENAMED_SECTIONS):
        if not isinstance(keys, dict):
            errors.append(
                f"{file}: key {section!r} is outside a section; allowed sections: "
                + ", ".join(f"[{name}]" for name in SECTIONS)
            )
            continue
        if current_name(section) not in SECTIONS:
            errors += filter(None, [problem_of_name(str(file), section, next(iter(keys), None))])
            continue
        for key, value in keys.items():
            if (problem := problem_of_name(str(file), section, key)) is not None:
                errors.append(problem)
                continue
            settings.append(Setting(str(file), current_name(section), key, value))
    warnings = [
        renamed_in_file(str(file), old, document[old].keys() & _keys(document.get(new)))
        for old, new in RENAMED_SECTIONS.items()
        if isinstance(document.get(old), dict)
    ]
    return Layer(settings, warnings, errors)


def _keys(section: object) -> set[str]:
    return set(section) if isinstance(section, dict) else set()


def _read_environment(environ: Mapping[str, str]) -> Layer:
    former: list[Setting] = []
    present: list[Setting] = []
    errors: list[str] = []
    if environ.get(DATA_DIR_VARIABLE):
        path = environ[DATA_DIR_VARIABLE]
        present.append(Setting(DATA_DIR_VARIABLE, "server", "data_dir", path))
    for name, text in sorted(environ.items()):
        section, separator, key = name.removeprefix(ENV_PREFIX).partition("__")
        if not name.startswith(ENV_PREFIX) or not separator:
            continue
        section, key = section.lower(), key.lower()
        if (problem := problem_of_name(name, section, key)) is not None:
            errors.append(problem)
            continue
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
    return Layer([*former, *present], warnings, errors)


def _from_command_line(overrides: Mapping[str, Mapping[str, Any]]) -> Layer:
    settings = [
        Setting("command line", section, key, value)
        for section, keys in overrides.items()
        for key, value in keys.items()
    ]
    problems = [problem_of_name(one.source, one.section, one.key) for one in settings]
    known = [one for one, problem in zip(settings, problems, strict=True) if problem is None]
    return Layer(known, [], [problem for problem in problems if problem is not None])


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
