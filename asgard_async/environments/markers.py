"""Environment markers of requirements (`name; python_version < "3.12"`)."""

from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import Requirement


def applies(requirement: Requirement, *, extra: str = "") -> bool:
    """Return whether a requirement's marker holds on this machine; True without a marker.

    Raises:
        ValueError: the marker can be parsed, but has no value, such as `os_name ~= "posix"`.
    """
    if requirement.marker is None:
        return True
    try:
        return requirement.marker.evaluate({"extra": extra})
    except (UndefinedComparison, UndefinedEnvironmentName, RecursionError) as error:
        raise ValueError(f"the marker of {requirement.name} has no value") from error
