"""What an environment is made of, and the name that follows from it."""

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

KEY_DIGITS = 20
FOR_ONE_JOB = "once"
"""What the names of environments begin with that serve a single job; no digest begins so."""


@dataclass(frozen=True, kw_only=True)
class EnvironmentSpec:
    """Everything that decides what a built environment holds."""

    requirements: Sequence[str]
    """Normalised, sorted, without those whose marker does not hold here."""
    index_url: str
    extra_index_urls: Sequence[str]
    moving: Sequence[str] = ()
    """Packages from addresses whose content may change: a branch, a file without its SHA-256."""
    only_for: str = ""
    """The job that alone may use it, since a later one wants what is at such an address then."""

    @property
    def has_addresses(self) -> bool:
        """Whether something comes from an address of its own, where there may be anything."""
        return any(" @ " in requirement for requirement in self.requirements)

    @property
    def key(self) -> str:
        """The environment's name: a digest of this recipe and of the interpreter."""
        made_of = {
            "requirements": list(self.requirements),
            "index_url": self.index_url,
            "extra_index_urls": list(self.extra_index_urls),
            "python": [platform.python_implementation(), platform.python_version()],
            "platform": sysconfig.get_platform(),
            "interpreter": sys.base_prefix,
            **({"only_for": self.only_for} if self.only_for else {}),
        }
        digest = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()
        return (FOR_ONE_JOB * bool(self.only_for) + digest)[:KEY_DIGITS]


def environment_spec_for(
    requirements: Sequence[str],
    *,
    job_id: str = "",
    index_url: str = "",
    extra_index_urls: Sequence[str] = (),
) -> EnvironmentSpec:
    """The recipe of a job's requirements, which must be valid; mlflow is added in our version
    unless they name it themselves."""
    parsed = [Requirement(text) for text in requirements]
    wanted = [one for one in parsed if one.marker is None or one.marker.evaluate({"extra": ""})]
    if not any(canonicalize_name(one.name) == "mlflow" for one in wanted):
        wanted.append(Requirement(f"mlflow=={version('mlflow')}"))
    moving = {canonicalize_name(one.name) for one in wanted if one.url and not is_fixed(one.url)}
    return EnvironmentSpec(
        requirements=tuple(sorted({_normalised(one) for one in wanted})),
        index_url=index_url,
        extra_index_urls=tuple(extra_index_urls),
        moving=tuple(sorted(moving)),
        only_for=job_id if moving else "",
    )


def _normalised(requirement: Requirement) -> str:
    extras = ",".join(sorted(canonicalize_name(extra) for extra in requirement.extras))
    name = canonicalize_name(requirement.name) + (f"[{extras}]" if extras else "")
    if requirement.url is not None:
        return f"{name} @ {requirement.url}"
    return name + ",".join(sorted(str(one) for one in requirement.specifier))
