"""Names of modules and of the packages that provide them, from package_names.toml."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class PackageNames:
    """The content of package_names.toml; see its comments."""

    packages: Mapping[str, str]
    same: frozenset[str]
    own: frozenset[str]
    elsewhere: frozenset[str]
    platforms: Mapping[str, str]
    removed: Mapping[str, Sequence[str]]


@cache
def package_names() -> PackageNames:
    """Read the file, once."""
    data = tomllib.loads((Path(__file__).parent / "package_names.toml").read_text("utf-8"))
    lists = {name: frozenset(text.split()) for name, text in data["lists"].items()}
    return PackageNames(
        packages=data["packages"],
        platforms=data["platforms"],
        removed=data["removed"],
        **lists,
    )
