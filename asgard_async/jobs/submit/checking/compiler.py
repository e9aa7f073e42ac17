"""The checking process: `python -I -S compiler.py`, a socket on standard input. Runs no script.

A request is the source's length in 8 bytes and the source; an answer is a length in 8 bytes and a
marshalled dict: {"error": str} or {"imports": list of top-level names, or None if not looked for},
with "last": True when the process has grown and ends.
"""

import ast
import marshal
import os
import resource
import sys
import warnings

MEMORY_LIMIT = 2 << 30
FRESH_START_AT = 256 << 20
LARGEST_WITH_IMPORTS = 256 << 10


def check(source: bytes) -> "dict[str, str | list[str] | None]":
    """Compile `source`; what is wrong with it, or what it imports."""
    try:
        compile(source, "script", "exec", dont_inherit=True)
        if len(source) > LARGEST_WITH_IMPORTS:
            return {"imports": None}
        return {"imports": sorted(top_level_imports(ast.parse(source)))}
    except SyntaxError as error:
        where = f" (line {error.lineno}, column {error.offset})" if error.lineno else ""
        return {"error": f"{type(error).__name__}: {error.msg}{where}"}
    except (RecursionError, MemoryError):
        return {"error": "The script is nested too deeply to be compiled."}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


def top_level_imports(tree: ast.AST) -> "set[str]":
    """The packages that a program names in import statements, at any depth."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


def peak_memory() -> int:
    """Bytes. Not from getrusage: after a vfork its maximum is that of the parent."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("VmHWM"))


def _read_exactly(length: int) -> bytes:
    parts = []
    while length:
        part = os.read(0, length)
        if not part:
            sys.exit()  # the service is gone
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def main() -> None:
    """Answer requests until the other end closes."""
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    while True:
        source = _read_exactly(int.from_bytes(_read_exactly(8), "big"))
        verdict = check(source)
        last = peak_memory() > FRESH_START_AT
        answer = marshal.dumps({**verdict, "last": last}, 2)
        os.write(0, len(answer).to_bytes(8, "big") + answer)
        if last:
            return  # gives the memory back; the service starts another


if __name__ == "__main__":
    main()
