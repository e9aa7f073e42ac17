"""The base environment: the service's own interpreter and its installed packages."""

import functools
import importlib.metadata
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from asgard_async.environments.markers import applies

QUOTED = re.compile(r"""['"]([^'"]*)['"]""")


@dataclass(kw_only=True)
class _Installed:
    """A package, with what its metadata says: reading that takes a millisecond each time."""

    name: NormalizedName
    version: str
    distribution: importlib.metadata.Distribution
    lacking: dict[NormalizedName, Requirement | None] = field(default_factory=dict)
    """Extra → a dependency that is not installed; None if all are."""

    @functools.cached_property
    def extras(self) -> frozenset[NormalizedName]:
        """All names in markers, among which are the extras that have dependencies."""
        texts = [text for text in self.distribution.requires or () if "extra" in text]
        return frozenset(canonicalize_name(name) for text in texts for name in QUOTED.findall(text))

    def dependencies_of(self, extra: NormalizedName) -> Iterable[Requirement]:
        """Yield what the package requires with the extra, but not without it."""
        for text in self.distribution.requires or ():
            dependency = Requirement(text)
            if applies(dependency, extra=extra) and not applies(dependency):
                dependency.marker = None
                yield dependency


class BaseEnvironment:
    """The installed packages, read once, since they do not change while the service runs.

    A job may have a thousand requirements with a hundred extras each, so answers are remembered.
    """

    def __init__(self) -> None:
        self._installed: dict[NormalizedName, _Installed] = {}
        for distribution in importlib.metadata.distributions():
            metadata = distribution.metadata
            name = canonicalize_name(metadata["Name"])
            package = _Installed(name=name, version=metadata["Version"], distribution=distribution)
            self._installed.setdefault(name, package)  # the first one on sys.path is imported

    def missing(self, requirements: Iterable[Requirement]) -> Sequence[str]:
        """Return the unsatisfied requirements, each with the reason."""
        return [
            problem
            for requirement in requirements
            if (problem := self._problem(requirement, frozenset())) is not None
        ]

    def _problem(self, requirement: Requirement, seen: frozenset[str]) -> str | None:
        if not applies(requirement):
            return None
        if requirement.url is not None:
            return f"{requirement.name} (from a direct reference)"
        package = self._installed.get(canonicalize_name(requirement.name))
        if package is None:
            return f"{requirement} (not installed)"
        if not requirement.specifier.contains(Version(package.version), prereleases=True):
            return f"{requirement} (installed: {package.version})"
        for extra in sorted(requirement.extras):
            dependency = self._lacking_for(package, canonicalize_name(extra), seen)
            if dependency is not None:
                return f"{requirement} (extra {extra!r} needs {dependency})"
        return None

    def _lacking_for(
        self, package: _Installed, extra: NormalizedName, seen: frozenset[str]
    ) -> Requirement | None:
        """Return a dependency of an extra that is missing; extras in `seen` count as complete."""
        this = f"{package.name}[{extra}]"
        if extra not in package.extras or this in seen:
            return None
        if not seen and extra in package.lacking:
            return package.lacking[extra]
        missing = (
            dependency
            for dependency in package.dependencies_of(extra)
            if self._problem(dependency, seen | {this}) is not None
        )
        lacking = next(missing, None)
        if not seen:  # otherwise the answer may depend on where the search came from
            package.lacking[extra] = lacking
        return lacking
