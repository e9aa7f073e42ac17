"""The files and folders of a directory that an upload sends, and those that it leaves out."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

IGNORE_FILES = (".asgardignore", ".gitignore")
"""Files with rules in git's syntax; the rules of an earlier one come first."""
BYTECODE = "__pycache__"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A file or a folder to send."""

    name: str
    """The path below the directory, with slashes."""
    path: Path
    is_directory: bool


@dataclass
class Contents:
    """What to send of a directory.

    Hidden files, virtual environments and caches of bytecode are skipped. `.asgardignore` and
    `.gitignore` are followed; an ignored folder is sent empty, because scripts write to such
    folders. A link to a file or folder in the directory is sent as what it points to.
    """

    directory: Path
    left_out: list[str] = field(default_factory=list)
    """What `entries` has left out and the user may miss, each with the reason."""

    def entries(self) -> Iterator[Entry]:
        """Yield what to send, folders before their contents, in alphabetical order.

        Raises:
            OSError: a folder or an ignore file cannot be read.
        """
        yield from self._below(self.directory, "", (), ())

    def _below(
        self, folder: Path, prefix: str, rules: Sequence["_Rules"], above: Sequence[Path]
    ) -> Iterator[Entry]:
        above = (*above, folder.resolve())
        rules = (*_rules_in(folder, prefix), *rules)
        for path in sorted(folder.iterdir()):
            if _is_never_sent(path.name):
                continue
            name = prefix + path.name
            is_directory = path.is_dir()
            source = _ignoring(rules, f"{name}/" if is_directory else name)
            if source is None and (problem := self._problem(path, above)):
                self.left_out.append(f"{name} ({problem})")
                continue
            if is_directory and (path / "pyvenv.cfg").exists():
                continue
            if source is not None:
                self.left_out.append(f"{name}{'/' * is_directory} ({source})")
            if is_directory or source is None:
                yield Entry(name=name, path=path, is_directory=is_directory)
            if is_directory and source is None:
                yield from self._below(path, f"{name}/", rules, above)

    def _problem(self, path: Path, above: Sequence[Path]) -> str | None:
        """Return why a path cannot be sent; None if it can."""
        if path.is_symlink():
            # not resolve(), which raises for a link to itself before Python 3.13
            target, root = Path(os.path.realpath(path)), above[0]
            if not target.is_relative_to(root):
                return "a link that leads out of the directory"
            if not target.exists():
                return "a link to nothing"
            if any(map(_is_never_sent, target.relative_to(root).parts)):
                return "a link to a hidden file"
            if target in above:
                return "a link to a folder that contains it"
        if not (path.is_dir() or path.is_file()):
            return "neither a file nor a directory"
        return None


@dataclass(frozen=True)
class _Rules:
    """The rules of one ignore file."""

    source: str
    prefix: str
    """The path of its folder, empty or with a slash at the end."""
    spec: "GitIgnoreSpec"


def _rules_in(folder: Path, prefix: str) -> Iterator[_Rules]:
    for source in IGNORE_FILES:
        file = folder / source
        if file.is_file():
            # imported late: few uploads need it
            from pathspec import GitIgnoreSpec

            lines = file.read_text(encoding="utf-8-sig", errors="surrogateescape").splitlines()
            yield _Rules(prefix + source, prefix, GitIgnoreSpec.from_lines(lines))


def _ignoring(rules: Sequence[_Rules], name: str) -> str | None:
    """Return the ignore file that excludes a name: the first one with a rule for it decides."""
    for one in rules:
        excluded = one.spec.check_file(name.removeprefix(one.prefix)).include
        if excluded is not None:
            return one.source if excluded else None
    return None


def _is_never_sent(name: str) -> bool:
    return name.startswith(".") or name == BYTECODE
