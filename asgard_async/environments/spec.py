"""The specification of an environment, and the key derived from it."""

import hashlib
import json
import platform
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from asgard_async.environments.direct_references import is_fixed
from asgard_async.environments.markers import applies

KEY_DIGITS = 20
FOR_ONE_JOB = "once"
"""Prefix of the keys of environments for a single job; no digest starts with it."""


@dataclass(frozen=True, kw_only=True)
class EnvironmentSpec:
    """All data that determines the content of an environment."""

    requirements: Sequence[str]
    """Normalized and sorted requirements, except those whose marker does not apply."""
    index_url: str
    extra_index_urls: Sequence[str]
    moving: Sequence[str] = ()
    """Packages from addresses with changing content: a branch, or a file without its SHA-256."""
    only_for: str = ""
    """The only job that may use the environment; later jobs must fetch such packages again."""

    @property
    def has_addresses(self) -> bool:
        """True if a requirement is a direct reference, whose content is not trusted."""
        return any(" @ " in requirement for requirement in self.requirements)

    @property
    def key(self) -> str:
        """The environment's key: a digest of this specification and of the interpreter."""
        content = {
            "requirements": list(self.requirements),
            "index_url": self.index_url,
            "extra_index_urls": list(self.extra_index_urls),
            "python": [platform.python_implementation(), platform.python_version()],
            "platform": sysconfig.get_platform(),
            "interpreter": sys.base_prefix,
            **({"only_for": self.only_for} if self.only_for else {}),
        }
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        return (FOR_ONE_JOB * bool(self.only_for) + digest)[:KEY_DIGITS]


def environment_spec_for(
    requirements: Sequence[str],
    *,
    job_id: str = "",
    adds_mlflow: bool = True,
    index_url: str = "",
    extra_index_urls: Sequence[str] = (),
) -> EnvironmentSpec:
    """Return the environment for a job's valid requirements.

    With `adds_mlflow`, mlflow is added in the service's version unless the requirements include it.
    """
    parsed = [Requirement(text) for text in requirements]
    applicable = [requirement for requirement in parsed if applies(requirement)]
    names = {canonicalize_name(requirement.name) for requirement in applicable}
    if adds_mlflow and "mlflow" not in names:
        applicable.append(Requirement(f"mlflow=={version('mlflow')}"))
    moving = {
        canonicalize_name(requirement.name)
        for requirement in applicable
        if requirement.url and not is_fixed(requirement.url)
    }
    return EnvironmentSpec(
        requirements=tuple(sorted({_normalized(requirement) for requirement in applicable})),
        index_url=index_url,
        extra_index_urls=tuple(extra_index_urls),
        moving=tuple(sorted(moving)),
        only_for=job_id if moving else "",
    )


def _normalized(requirement: Requirement) -> str:
    extras = ",".join(sorted(canonicalize_name(extra) for extra in requirement.extras))
    name = canonicalize_name(requirement.name) + (f"[{extras}]" if extras else "")
    if requirement.url is not None:
        return f"{name} @ {requirement.url}"
    return name + ",".join(sorted(map(str, requirement.specifier)))
