"""The files and folders of a directory that an upload sends, and those that it leaves out."""

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

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
    is_directory: bool
    place: "_Place"

    def opened(self) -> IO[bytes]:
        """Open the file.

        Raises:
            ValueError: it was replaced since it was found.
            OSError: it cannot be read.
        """
        return self.place.opened()


@dataclass(frozen=True)
class _Place:
    """A file or folder below the directory, without links in its path.

    Root may send a directory whose owner replaces files by links at any moment. So a file is opened
    step by step below `root`, without following links.
    """

    root: Path
    parts: tuple[str, ...]

    def opened(self) -> IO[bytes]:
        path = self.root.joinpath(*self.parts)
        if os.open not in os.supports_dir_fd:  # Windows
            return path.open("rb")
        descriptor = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for number, part in enumerate(self.parts, 1):
                # without O_NONBLOCK, a FIFO would block
                kind = os.O_DIRECTORY if number < len(self.parts) else os.O_NONBLOCK
                flags = os.O_RDONLY | os.O_NOFOLLOW | kind
                descriptor, above = os.open(part, flags, dir_fd=descriptor), descriptor
                os.close(above)
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ValueError(f"{path} was replaced while it was read.")
            return os.fdopen(descriptor, "rb")
        except OSError as error:
            os.close(descriptor)
            if error.errno in {errno.ELOOP, errno.ENOTDIR, errno.ENXIO}:
                raise ValueError(f"{path} was replaced while it was read.") from error
            raise
        except BaseException:
            os.close(descriptor)
            raise


@dataclass
class Contents:
    """The contents of a directory to send.

    Hidden files, virtual environments and caches of bytecode are skipped. `.asgardignore` and
    `.gitignore` are followed; an ignored folder is sent empty, because scripts write to such
    folders. A link to a file or folder in the directory is sent as what it points to.
    """

    directory: Path
    left_out: list[str] = field(default_factory=list)
    """Left out by `entries` although the user may miss them, each with the reason."""
    _root: Path = field(init=False, repr=False)
    _found: Sequence[Entry] | None = field(default=None, init=False, repr=False)

    def __fspath__(self) -> str:
        return os.fspath(self.directory)

    def scan(self) -> Sequence[Entry]:
        """Return all entries; `entries` then yields the same without another walk."""
        if self._found is None:
            self._found = tuple(self.entries())
        return self._found

    def entries(self) -> Iterator[Entry]:
        """Yield what to send, folders before their contents, in alphabetical order.

        Raises:
            OSError: a folder or an ignore file cannot be read.
        """
        if self._found is not None:
            yield from self._found
            return
        self._root = Path(os.path.realpath(self.directory))
        yield from self._below(self._root, "", (), ())

    def _below(
        self, folder: Path, prefix: str, rules: Sequence["_Rules"], above: Sequence[Path]
    ) -> Iterator[Entry]:
        above = (*above, Path(os.path.realpath(folder)))
        rules = (*self._rules_in(folder, prefix), *rules)
        for path in sorted(folder.iterdir()):
            if _is_never_sent(path.name):
                continue
            name = prefix + path.name
            is_directory = path.is_dir()
            source = _ignoring(rules, f"{name}/" if is_directory else name)
            # not resolve(), which raises for a link to itself before Python 3.13
            target = Path(os.path.realpath(path))
            if source is None and (problem := self._problem(path, target, above)):
                self.left_out.append(f"{name} ({problem})")
                continue
            if is_directory and (path / "pyvenv.cfg").exists():
                continue
            if source is not None:
                self.left_out.append(f"{name}{'/' * is_directory} ({source})")
            if is_directory or source is None:
                place = _Place(self._root, _parts_below(self._root, target))
                yield Entry(name=name, is_directory=is_directory, place=place)
            if is_directory and source is None:
                yield from self._below(path, f"{name}/", rules, above)

    def _problem(self, path: Path, target: Path, above: Sequence[Path]) -> str | None:
        """Return why a path cannot be sent; None if it can."""
        if not target.is_relative_to(self._root):
            return "a link that leads out of the directory"
        if path.is_symlink():
            if not target.exists():
                return "a link to nothing"
            if any(map(_is_never_sent, _parts_below(self._root, target))):
                return "a link to a hidden file"
            if target in above:
                return "a link to a folder that contains it"
        if not (path.is_dir() or path.is_file()):
            return "neither a file nor a directory"
        return None

    def _rules_in(self, folder: Path, prefix: str) -> Iterator["_Rules"]:
        for source in IGNORE_FILES:
            file = Path(os.path.realpath(folder / source))
            if not file.is_file() or not file.is_relative_to(self._root):
                continue
            # imported late: few uploads need it
            from pathspec import GitIgnoreSpec

            with _Place(self._root, _parts_below(self._root, file)).opened() as content:
                text = content.read().decode("utf-8-sig", "surrogateescape")
            yield _Rules(prefix + source, prefix, GitIgnoreSpec.from_lines(text.splitlines()))


@dataclass(frozen=True)
class _Rules:
    """The rules of one ignore file."""

    source: str
    prefix: str
    """The path of its folder, empty or with a slash at the end."""
    spec: "GitIgnoreSpec"


def _ignoring(rules: Sequence[_Rules], name: str) -> str | None:
    """Return the ignore file that excludes a name: the first one with a rule for it decides."""
    for one in rules:
        excluded = one.spec.check_file(name.removeprefix(one.prefix)).include
        if excluded is not None:
            return one.source if excluded else None
    return None


def _parts_below(root: Path, path: Path) -> tuple[str, ...]:
    return path.relative_to(root).parts if path.is_relative_to(root) else ()


def _is_never_sent(name: str) -> bool:
    return name.startswith(".") or name == BYTECODE
