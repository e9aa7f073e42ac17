"""The base environment: the service's own interpreter and its installed packages."""

import importlib.metadata
from collections.abc import Iterable, Sequence

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version


class BaseEnvironment:
    """The installed packages, read once, since they do not change while the service runs."""

    def __init__(self) -> None:
        self._installed: dict[NormalizedName, importlib.metadata.Distribution] = {}
        for distribution in importlib.metadata.distributions():
            name = canonicalize_name(distribution.metadata["Name"])
            self._installed.setdefault(name, distribution)  # the first one on sys.path is imported

    def missing(self, requirements: Iterable[Requirement]) -> Sequence[str]:
        """Return the unsatisfied requirements, each with the reason."""
        return [
            problem
            for requirement in requirements
            if (problem := self._problem(requirement, frozenset())) is not None
        ]

    def _problem(self, requirement: Requirement, seen: frozenset[str]) -> str | None:
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            return None
        if requirement.url is not None:
            return f"{requirement.name} (from a direct reference)"
        distribution = self._installed.get(canonicalize_name(requirement.name))
        if distribution is None:
            return f"{requirement} (not installed)"
        if not requirement.specifier.contains(Version(distribution.version), prereleases=True):
            return f"{requirement} (installed: {distribution.version})"
        for extra in sorted(requirement.extras):
            if f"{requirement.name}[{extra}]" in seen:
                continue
            visited = seen | {f"{requirement.name}[{extra}]"}
            for dependency in self._dependencies_of_extra(distribution, extra):
                if self._problem(dependency, visited) is not None:
                    return f"{requirement} (extra {extra!r} needs {dependency})"
        return None

    @staticmethod
    def _dependencies_of_extra(
        distribution: importlib.metadata.Distribution, extra: str
    ) -> Iterable[Requirement]:
        for text in distribution.requires or ():
            dependency = Requirement(text)
            marker = dependency.marker
            # required with the extra, but not without it
            if marker and marker.evaluate({"extra": extra}) and not marker.evaluate({"extra": ""}):
                dependency.marker = None
                yield dependency
