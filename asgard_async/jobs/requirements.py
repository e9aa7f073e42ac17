"""Requirements as users write them: PEP 508 names, nothing that reads files or other places."""

from collections.abc import Sequence

from packaging.requirements import InvalidRequirement, Requirement

from asgard_async.jobs.errors import InvalidSubmission


def parse_requirements(texts: Sequence[str]) -> list[Requirement]:
    """Parse a submission's requirements.

    Raises:
        InvalidSubmission: one is no PEP 508 requirement by name. Its text is not repeated.
    """
    parsed, problems = [], []
    for number, text in enumerate(texts, 1):
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            problems.append(f"{_place(number)} {_what_is_wrong(text)}")
            continue
        if requirement.url is not None:
            problems.append(
                f"{_place(number)} points to a place (name @ url); give a name and a version"
            )
        parsed.append(requirement)
    if problems:
        raise InvalidSubmission({"requirements": problems})
    return parsed


def _place(number: int) -> str:
    return f"Entry {number}"


def _what_is_wrong(text: str) -> str:
    stripped = text.strip()
    if not stripped:
        return "is empty; leave it out."
    if stripped.startswith("-"):
        return "is an option; only packages by name are taken, such as 'scikit-learn>=1.5'."
    if stripped.startswith("#"):
        return "is a comment; leave it out."
    if "/" in stripped or "\\" in stripped or stripped.startswith("."):
        return "is a path or an address; only packages by name are taken."
    return "is not a requirement as PEP 508 defines it, such as 'scikit-learn>=1.5'."
