"""Reading of a requirements.txt as pip reads it: encodings, comments and continued lines."""

import codecs
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
COMMENT = re.compile(r"(^|\s+)#.*")
HASH = re.compile(r"(^|\s)--hash\b")
VARIABLE = "${"
MAX_PROBLEMS = 100
"""Problems of a file that are reported."""
INCLUDE = re.compile(r"(?:-r|--requirement)(?:\s*=\s*|\s*)(?P<path>\S.*)")


class RequirementsFileError(ValueError):
    """A requirements.txt that cannot be used; `problems` has a sentence for each reason.

    The sentences do not repeat the file's text, which may contain passwords.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__(" ".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class Line:
    """A requirement or an option, without comments, joined from all lines that it spans."""

    number: int
    """The first of these lines, counted from 1."""
    text: str


def read_with_includes(path: Path) -> list[str]:
    """Return the lines of a local file and of the files that it includes with `-r`.

    As for pip, the path of an included file is relative to the including one.

    Raises:
        RequirementsFileError: a file cannot be read, or includes itself.
    """
    return list(_with_includes(path, ()))


def _with_includes(path: Path, including: tuple[Path, ...]) -> Iterator[str]:
    if path.resolve() in including:
        raise RequirementsFileError(f"{path} includes itself.")
    try:
        lines = requirement_lines(decode_requirements(path.read_bytes()))
    except OSError as error:
        raise RequirementsFileError(f"{path}: {error.strerror}") from error
    except RequirementsFileError as error:
        raise RequirementsFileError(*(f"{path}: {problem}" for problem in error.problems)) from None
    for line in lines:
        if include := INCLUDE.fullmatch(line.text):
            included = path.parent / include["path"].strip("\"'")
            yield from _with_includes(included, (*including, path.resolve()))
        else:
            yield line.text


def decode_requirements(content: bytes) -> str:
    """Decode a file with a byte order mark, or in UTF-8.

    Raises:
        RequirementsFileError: the file has another encoding.
    """
    mark, encoding = next(
        ((mark, name) for mark, name in BYTE_ORDER_MARKS if content.startswith(mark)),
        (b"", "utf-8"),
    )
    try:
        text = content[len(mark) :].decode(encoding)
    except UnicodeDecodeError:
        raise RequirementsFileError("The file is not UTF-8; save it in that encoding.") from None
    if "\0" in text:  # UTF-16 without a mark is valid UTF-8 if all characters are ASCII
        raise RequirementsFileError(
            "The file contains NUL characters, perhaps because it is UTF-16; save it as UTF-8."
        )
    return text


def requirement_lines(text: str) -> list[Line]:
    """Return the requirements and options of a file.

    Raises:
        RequirementsFileError: the file has hashes or variables.
    """
    lines = list(_lines(text))
    hashed = [line.number for line in lines if HASH.search(line.text)]
    if hashed:
        raise RequirementsFileError(_hashes_problem(hashed))
    with_variable = [line.number for line in lines if VARIABLE in line.text]
    if with_variable:
        problems = [
            f"Line {number} contains a variable; replace it by its value."
            for number in with_variable[:MAX_PROBLEMS]
        ]
        if len(with_variable) > MAX_PROBLEMS:
            problems.append(f"{len(with_variable) - MAX_PROBLEMS} more lines are invalid.")
        raise RequirementsFileError(*problems)
    return lines


def _lines(text: str) -> Iterator[Line]:
    for number, joined in _joined(text):
        if stripped := COMMENT.sub("", joined).strip():
            yield Line(number, stripped)


def _joined(text: str) -> Iterator[tuple[int, str]]:
    """Join each line that ends in a backslash with the next one; a comment ends such lines."""
    first, parts = 0, list[str]()
    for number, line in enumerate(text.splitlines(), 1):
        is_comment = line.lstrip().startswith("#")
        first = first if parts else number
        if line.endswith("\\") and not is_comment:
            parts.append(line[:-1])
            continue
        # the space before the comment lets it be found as one
        yield first, "".join([*parts, f" {line}" if is_comment else line])
        parts.clear()
    if parts:
        yield first, "".join(parts)


def _hashes_problem(lines: Sequence[int]) -> str:
    others = f", and so do {len(lines) - 1} other requirements" if len(lines) > 1 else ""
    return (
        f"Line {lines[0]} has a hash (--hash){others}; hashes are not"
        " supported. Export the file without them: pip-compile without --generate-hashes, uv"
        " export --no-hashes, or poetry export --without-hashes."
    )
