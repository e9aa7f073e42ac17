"""The source of the program that runs notebooks."""

import functools
from pathlib import Path

PROGRAM = Path(__file__).with_name("program.py")


@functools.cache
def notebook_program() -> str:
    """Return the source, which is passed to the interpreter of the job's environment."""
    return PROGRAM.read_text("utf-8")
