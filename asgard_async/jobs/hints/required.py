"""Names of packages in requirements."""

import re
from collections.abc import Collection

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def normalized(requirement: str) -> str:
    """Return the package's name as PyPI compares it; empty if there is none."""
    name = NAME.match(requirement.strip())
    return re.sub(r"[-_.]+", "-", name[0]).lower() if name else ""


def is_required(package: str, requirements: Collection[str]) -> bool:
    """Return whether requirements include a package."""
    return normalized(package) in {normalized(requirement) for requirement in requirements}
