"""Requirements as users write them: PEP 508 names, nothing that reads files or other places."""

import re
from collections.abc import Sequence

from packaging.requirements import InvalidRequirement, Requirement

from asgard_async.jobs.errors import InvalidSubmission


def parse_requirements(texts: Sequence[str]) -> list[Requirement]:
    """Parse a submission's requirements.

    Raises:
        InvalidSubmission: one is no PEP 508 requirement by name. Its text is not repeated.
    """
    return _parse([(f"Entry {number}", text) for number, text in enumerate(texts, 1)])


def read_requirements_file(text: str) -> list[str]:
    """The requirements in a requirements.txt, without its comments and blank lines.

    Raises:
        InvalidSubmission: a line is more than a requirement by name. Its text is not repeated.
    """
    entries, problems = [], []
    for number, line in enumerate(text.splitlines(), 1):
        entry = re.sub(r"(^|\s)#.*", "", line).strip()  # as pip reads it
        if line.rstrip().endswith("\\"):
            problems.append(f"Line {number} goes on in the next; write each in one line.")
        elif "${" in entry:
            problems.append(f"Line {number} holds a variable; write out what it stands for.")
        elif entry:
            entries.append((f"Line {number}", entry))
    if problems:
        raise InvalidSubmission({"requirements": problems})
    _parse(entries)
    return [entry for _, entry in entries]


def _parse(entries: Sequence[tuple[str, str]]) -> list[Requirement]:
    parsed, problems = [], []
    for place, text in entries:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            problems.append(f"{place} {_what_is_wrong(text)}")
            continue
        if requirement.url is not None:
            problems.append(f"{place} points to a place (name @ url); give a name and a version")
        parsed.append(requirement)
    if problems:
        raise InvalidSubmission({"requirements": problems})
    return parsed


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
