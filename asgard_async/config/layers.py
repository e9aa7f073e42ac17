"""Where settings come from: config.toml, a file of the user's, then `ASGARD_SECTION__KEY`."""

import os
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from asgard_async.config.consistency import check_together
from asgard_async.config.conversion import convert_section
from asgard_async.config.sections import SECTIONS, Config, ConfigError, field_types

ENV_PREFIX = "ASGARD_"
DATA_DIR_VARIABLE = "ASGARD_DATA_DIR"


def load_config(
    file: Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
) -> Config:
    """Read defaults, `file`, `environ` (default: the process's) and `overrides`, in that order.

    Raises:
        ConfigError: a file cannot be read, or a key or value is wrong.
    """
    values = _read_defaults()
    sources: dict[str, str] = {}
    layers = [_read_environment(os.environ if environ is None else environ)]
    if file is not None:
        layers.insert(0, _read_file(file))
    if overrides:
        layers.append(
            [("command line", s, k, v) for s, keys in overrides.items() for k, v in keys.items()]
        )
    for layer in layers:
        for source, section, key, value in layer:
            _check_name(source, section, key)
            values[section][key] = value
            sources[f"{section}.{key}"] = source
    config = Config(
        sources=sources,
        **{name: convert_section(name, values[name], sources) for name in SECTIONS},
    )
    check_together(config)
    return config


def _read_defaults() -> dict[str, dict[str, Any]]:
    return tomllib.loads((resources.files("asgard_async") / "config.toml").read_text("utf-8"))


Setting = tuple[str, str, str, Any]
"""Source, section, key, value."""


def _read_file(file: Path) -> list[Setting]:
    try:
        document = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: is not valid TOML: {error}") from error
    settings: list[Setting] = []
    for section, keys in document.items():
        if not isinstance(keys, dict):
            raise ConfigError(
                f"{file}: key {section!r} stands outside a section; allowed sections: "
                + ", ".join(f"[{name}]" for name in SECTIONS)
            )
        _check_name(str(file), section, None)
        settings.extend((str(file), section, key, value) for key, value in keys.items())
    return settings


def _read_environment(environ: Mapping[str, str]) -> list[Setting]:
    settings: list[Setting] = []
    if environ.get(DATA_DIR_VARIABLE):
        settings.append((DATA_DIR_VARIABLE, "server", "data_dir", environ[DATA_DIR_VARIABLE]))
    for name, text in sorted(environ.items()):
        section, separator, key = name.removeprefix(ENV_PREFIX).partition("__")
        if not name.startswith(ENV_PREFIX) or not separator:
            continue
        section, key = section.lower(), key.lower()
        _check_name(name, section, key)
        settings.append((name, section, key, _parse_variable(section, key, text)))
    return settings


def _parse_variable(section: str, key: str, text: str) -> Any:
    if _kind_of(section, key) is str:
        return text
    try:
        word = text.strip()
        # as people write it in a shell
        word = word.lower() if word.lower() in {"true", "false"} else word
        return tomllib.loads(f"value = {word}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _kind_of(section: str, key: str) -> Any:
    annotation = field_types(section)[key]
    annotation = getattr(annotation, "__origin__", annotation)
    return str if annotation is Literal else annotation


def _check_name(source: str, section: str, key: str | None) -> None:
    if section not in SECTIONS:
        raise ConfigError(
            f"{source}: unknown section [{section}]; allowed: "
            + ", ".join(f"[{name}]" for name in SECTIONS)
        )
    if key is not None and key not in field_types(section):
        raise ConfigError(
            f"{source}: unknown key {key!r} in [{section}]; allowed: "
            + ", ".join(field_types(section))
        )
