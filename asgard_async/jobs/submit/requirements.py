"""Parsing of a job's requirements: only PEP 508 names, nothing that reads files or URLs.

The administrator can allow direct references as well (`name @ url`); see direct_references.py.
"""

import re
from collections.abc import Sequence

from packaging.requirements import InvalidRequirement, Requirement

from asgard_async.core.requirements_file import (
    HASH,
    RequirementsFileError,
    decode_requirements,
    requirement_lines,
)
from asgard_async.domain.errors import InvalidSubmission
from asgard_async.environments.direct_references import problem_with
from asgard_async.environments.markers import applies

MAX_REQUIREMENTS = 1000
"""`pip freeze` in a real project prints 150 to 300 lines."""
MAX_REQUIREMENT = 500
QUICK_CHARACTERS = 4096
"""Requirements with more characters are parsed in a thread: 1000 long ones take half a second."""


def parse_requirements(texts: Sequence[str], *, direct_references: bool) -> list[Requirement]:
    """Parse a submission's requirements.

    Raises:
        InvalidSubmission: an entry is neither a PEP 508 requirement by name nor an allowed direct
            reference. The message does not repeat its text.
    """
    entries = [(f"Entry {number}", text) for number, text in enumerate(texts, 1)]
    return _parse(entries, direct_references=direct_references)


def read_requirements_file(content: bytes, *, direct_references: bool) -> list[str]:
    """Return the requirements in a requirements.txt.

    Raises:
        InvalidSubmission: a line is not a plain requirement. The message does not repeat its text.
    """
    try:
        lines = requirement_lines(decode_requirements(content))
    except RequirementsFileError as error:
        raise InvalidSubmission({"requirements": list(error.problems)}) from None
    entries = [(f"Line {line.number}", line.text) for line in lines]
    # the schema refuses more or longer ones anyway; parsing them might take minutes
    if len(entries) <= MAX_REQUIREMENTS:
        short = [(line, entry) for line, entry in entries if len(entry) <= MAX_REQUIREMENT]
        _parse(short, direct_references=direct_references)
    return [text for _, text in entries]


def _parse(entries: Sequence[tuple[str, str]], *, direct_references: bool) -> list[Requirement]:
    requirements, problems = [], []
    for entry, text in entries:
        try:
            requirement = Requirement(text)
        except (InvalidRequirement, RecursionError):
            problems.append(f"{entry} {_problem(text)}")
            continue
        try:
            applies(requirement)
        except ValueError:
            problems.append(
                f"{entry} has a marker that cannot be evaluated; compare versions with versions,"
                " and text by '==', '!=' or 'in'."
            )
            continue
        if requirement.url is not None:
            if not direct_references:
                problems.append(
                    f"{entry} is a direct reference (name @ url); use a name and a version instead."
                )
            elif url_problem := problem_with(requirement.url):
                problems.append(f"{entry} {url_problem}")
        requirements.append(requirement)
    if problems:
        raise InvalidSubmission({"requirements": problems})
    return requirements


def _problem(text: str) -> str:
    stripped = text.strip()
    if not stripped:
        return "is empty; remove it."
    if HASH.search(stripped):
        return "has a hash (--hash); hashes are not supported: remove it."
    if re.match(r"-[rc]|--(requirement|constraint)\b", stripped):
        return "is the name of another file (-r or -c); add the lines of that file instead."
    if stripped.startswith("-"):
        return "is an option; only packages by name are accepted, such as 'scikit-learn>=1.5'."
    if stripped.startswith("#"):
        return "is a comment; remove it."
    if stripped.startswith("["):
        return "is a list; pass each requirement separately (in a form, repeat the field)."
    if "/" in stripped or "\\" in stripped or stripped.startswith("."):
        return "is a path or a URL; only packages by name are accepted."
    return "is not a PEP 508 requirement, such as 'scikit-learn>=1.5'."
