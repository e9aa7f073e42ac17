"""The process that looks through one archive: `python -I -S archive_program.py`.

A request on standard input, a socket, is a length in 8 bytes and a marshalled dict; the answer is
alike: {"source": bytes, "imports": list or None} of the program, or {"error": str, "field": str}.
"""

import marshal
import os
import resource
import sys
import warnings
from pathlib import Path
from typing import Any

# found by its place; last, since that place is site-packages where Asgard is installed
sys.path.append(str(Path(__file__).parents[4]))

from asgard_async.core.archives.names import ArchiveLimits, ArchiveRefused
from asgard_async.core.archives.unpack import read_program

MEMORY_LIMIT = 512 << 20


def check(archive: str, entrypoint: str, max_bytes: int, **limits: int) -> "dict[str, Any]":
    """Look through an archive; what is known of its program, or why it is refused."""
    try:
        program = read_program(
            Path(archive), entrypoint, limits=ArchiveLimits(**limits), max_bytes=max_bytes
        )
    except ArchiveRefused as error:
        return {"error": str(error), "field": error.field}
    except MemoryError:
        return {"error": "The archive takes too much memory to be read.", "field": "archive"}
    imports = sorted(program.imports) if program.imports is not None else None
    return {"source": program.source, "imports": imports}


def main() -> None:
    """Answer one request."""
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with open(0, "rb", closefd=False) as requests:
        length = int.from_bytes(requests.read(8), "big")
        answer = marshal.dumps(check(**marshal.loads(requests.read(length))), 2)  # noqa: S302
    remaining = memoryview(len(answer).to_bytes(8, "big") + answer)
    while remaining:
        remaining = remaining[os.write(0, remaining) :]


if __name__ == "__main__":
    main()
