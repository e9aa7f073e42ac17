"""Trees that a job may make to break walks through them."""

import os
from pathlib import Path


def comb(directory: Path, depth: int, *, name: str = "d", siblings: int = 1) -> None:
    """A deep directory, at each level of which there are more directories and a file of 4 KiB."""
    here = os.open(directory, os.O_RDONLY)
    for _ in range(depth):
        for number in range(siblings):
            os.mkdir(f"{name[1:]}{number}", dir_fd=here)  # the standard library has no other way
        file = os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=here)
        os.write(file, b"x" * 4096)
        os.close(file)
        os.mkdir(name, dir_fd=here)
        there = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = there
    os.close(here)
