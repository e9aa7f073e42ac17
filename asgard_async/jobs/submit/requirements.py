"""Requirements as users write them: PEP 508 names, nothing that reads files or other places.

The administrator may allow direct references too (`name @ address`); see direct_references.py.
"""

import re
from collections.abc import Sequence

from packaging.requirements import InvalidRequirement, Requirement

from asgard_async.domain.errors import InvalidSubmission
from asgard_async.environments.direct_references import problem_with

HASH = re.compile(r"(^|\s)--hash\b")


def parse_requirements(texts: Sequence[str], *, direct_references: bool) -> list[Requirement]:
    """Parse a submission's requirements.

    Raises:
        InvalidSubmission: one is no PEP 508 requirement by name, nor a direct reference where
            these are allowed. Its text is not repeated.
    """
    entries = [(f"Entry {number}", text) for number, text in enumerate(texts, 1)]
    return _parse(entries, direct_references=direct_references)


def read_requirements_file(text: str, *, direct_references: bool) -> list[str]:
    """The requirements in a requirements.txt, without its comments and blank lines.

    Raises:
        InvalidSubmission: a line is more than a requirement. Its text is not repeated.
    """
    entries, problems, hashed = [], [], []
    for number, line in enumerate(text.splitlines(), 1):
        entry = re.sub(r"(^|\s)#.*", "", line).strip()  # as pip reads it
        if HASH.search(entry):
            hashed.append(number)
        elif line.rstrip().endswith("\\"):
            problems.append((number, "goes on in the next; write each in one line."))
        elif "${" in entry:
            problems.append((number, "holds a variable; write out what it stands for."))
        elif entry:
            entries.append((f"Line {number}", entry))
    if hashed:
        # locked files have several with each requirement, which goes on over as many lines
        raise InvalidSubmission({"requirements": [_about_hashes(hashed)]})
    if problems:
        told = [f"Line {number} {problem}" for number, problem in problems]
        raise InvalidSubmission({"requirements": told})
    _parse(entries, direct_references=direct_references)
    return [entry for _, entry in entries]


def _about_hashes(lines: Sequence[int]) -> str:
    others = f", as {len(lines) - 1} others do" if len(lines) > 1 else ""
    return (
        f"Line {lines[0]} has a hash (--hash){others}; hashes are not checked here. Write the file"
        " without them: pip-compile without --generate-hashes, uv or poetry export with the option"
        " that leaves them out."
    )


def _parse(entries: Sequence[tuple[str, str]], *, direct_references: bool) -> list[Requirement]:
    parsed, problems = [], []
    for place, text in entries:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            problems.append(f"{place} {_what_is_wrong(text)}")
            continue
        if requirement.url is not None:
            if not direct_references:
                problems.append(
                    f"{place} points to a place (name @ url); give a name and a version"
                )
            elif wrong := problem_with(requirement.url):
                problems.append(f"{place} {wrong}")
        parsed.append(requirement)
    if problems:
        raise InvalidSubmission({"requirements": problems})
    return parsed


def _what_is_wrong(text: str) -> str:
    stripped = text.strip()
    if not stripped:
        return "is empty; leave it out."
    if HASH.search(stripped):
        return "has a hash (--hash); hashes are not checked here: leave it out."
    if stripped.startswith("-"):
        return "is an option; only packages by name are taken, such as 'scikit-learn>=1.5'."
    if stripped.startswith("#"):
        return "is a comment; leave it out."
    if stripped.startswith("["):
        return "is a list; give each requirement by itself (in a form: repeat the field)."
    if "/" in stripped or "\\" in stripped or stripped.startswith("."):
        return "is a path or an address; only packages by name are taken."
    return "is not a requirement as PEP 508 defines it, such as 'scikit-learn>=1.5'."
