"""A temporary directory that every user can reach.

pytest's own belongs to the user alone, and so may `TMPDIR`.
"""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.support.as_user import first_private

PLACES = (tempfile.gettempdir(), "/tmp", "/var/tmp")  # the system's, in this order


@contextlib.contextmanager
def public_directory(prefix: str) -> Iterator[Path]:
    """Create the directory, in `TMPDIR` if others can enter that; remove it at the end."""
    place = next(path for path in PLACES if first_private(f"{path}/any") is None)
    top = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
    try:
        top.chmod(0o755)
        yield top
    finally:
        shutil.rmtree(top)
