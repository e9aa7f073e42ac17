"""The regular files of a tree that others may be changing, each as an open descriptor.

No step follows a link, blocks on a FIFO or leaves the tree, and the number of descriptors is
bounded.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self

from asgard_async.core.files.regular import DIRECTORY, NotRegular, open_regular

MAX_DEPTH = 100
"""Levels of directories. The walk holds two descriptors for each."""
MAX_PATH_BYTES = 4000
MAX_EXAMPLES = 10

OpenFile = tuple[str, int]
"""A path below the data directory, and a descriptor that is closed before the next one."""


@dataclass
class LeftOut:
    """Entries that a backup leaves out, such as links: their number, and some of them."""

    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, path: str, why: str) -> None:
        """Note an entry."""
        self.count += 1
        if len(self.examples) < MAX_EXAMPLES:
            self.examples.append(f"{path}: {why}")

    def encode(self) -> bytes:
        """Return the JSON form."""
        return json.dumps([self.count, self.examples]).encode()

    @classmethod
    def decode(cls, content: bytes) -> Self:
        """Return what `encode` has encoded."""
        count, examples = json.loads(content)
        return cls(count, examples)


def open_file(name: str, path: str, directory: int, left_out: LeftOut) -> Iterator[OpenFile]:
    """Open a file in an open directory, if there is a regular one."""
    try:
        descriptor = open_regular(name, dir_fd=directory)
    except FileNotFoundError:
        return
    except NotRegular:
        left_out.add(path, "not a regular file")
        return
    except PermissionError as error:
        left_out.add(path, error.strerror or str(error))
        return
    try:
        if _is_linked_by_another(descriptor, directory):
            left_out.add(path, "a hard link to a file of another user")
        else:
            yield path, descriptor
    finally:
        os.close(descriptor)


def open_tree(top: int, path: str, left_out: LeftOut) -> Iterator[OpenFile]:
    """Open all files below an open directory, whose path is `path`; directories in any order."""
    stack = [(path, os.dup(top))]
    listings = [os.scandir(stack[0][1])]
    try:
        while stack:
            above, directory = stack[-1]
            entry = next(listings[-1], None)
            if entry is None:
                listings.pop().close()
                os.close(stack.pop()[1])
                continue
            below = f"{above}/{entry.name}"
            if len(os.fsencode(below)) > MAX_PATH_BYTES:
                left_out.add(below[:200], "the path is too long")
            elif not entry.is_dir(follow_symlinks=False):
                yield from open_file(entry.name, below, directory, left_out)
            elif len(stack) > MAX_DEPTH:
                left_out.add(below[:200], "too many levels of directories")
            elif (opened := _open_directory(entry.name, below, directory, left_out)) is not None:
                stack.append((below, opened))
                listings.append(os.scandir(opened))
    finally:
        for listing in listings:
            listing.close()
        for _, descriptor in stack:
            os.close(descriptor)


def _open_directory(name: str, path: str, above: int, left_out: LeftOut) -> int | None:
    try:
        return os.open(name, DIRECTORY, dir_fd=above)
    except FileNotFoundError:
        return None
    except OSError as error:  # replaced meanwhile, or not accessible
        left_out.add(path, error.strerror or str(error))
        return None


def _is_linked_by_another(descriptor: int, directory: int) -> bool:
    """Return whether the directory's owner may have linked a file here that only root can read."""
    status = os.fstat(descriptor)
    owner = os.fstat(directory).st_uid
    return os.geteuid() == 0 and status.st_nlink > 1 and owner not in {0, status.st_uid}
