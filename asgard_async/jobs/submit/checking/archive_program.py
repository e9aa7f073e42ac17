"""The process that checks one archive: `python -I -S archive_program.py`.

Standard input is a socket. A request is a length in 8 bytes and a marshalled dict; the answer has
the same format: {"source": bytes, "imports": list or None} for the program, or {"error": str,
"field": str}.
"""

import marshal
import os
import resource
import sys
import warnings
from pathlib import Path
from typing import Any

# makes Asgard importable; appended last, because for an installed Asgard it is site-packages
sys.path.append(str(Path(__file__).parents[4]))

from asgard_async.core.archives.names import ArchiveLimits, ArchiveRefused
from asgard_async.core.archives.unpack import read_program

MEMORY_LIMIT = 512 << 20


def check(archive: str, entrypoint: str, max_bytes: int, **limits: int) -> "dict[str, Any]":
    """Check an archive; return the facts of its program, or the reason for refusing it."""
    try:
        program = read_program(
            Path(archive), entrypoint, limits=ArchiveLimits(**limits), max_bytes=max_bytes
        )
    except ArchiveRefused as error:
        return {"error": str(error), "field": error.field}
    except MemoryError:
        return {"error": "Reading the archive takes too much memory.", "field": "archive"}
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
