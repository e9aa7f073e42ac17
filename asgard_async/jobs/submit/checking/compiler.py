"""The process that checks scripts: `python -I -S compiler.py`. It never runs a script.

Standard input is a socket. A request is the length of the source in 8 bytes and the source; an
answer is a length in 8 bytes and a marshalled dict: {"error": str} or {"imports": list of top-level
names, or None if there was no search}, with "notebook": True for a notebook, and "last": True if
the process has grown too large and exits.
"""

import ast
import json
import marshal
import os
import re
import resource
import sys
import warnings

MEMORY_LIMIT = 2 << 30
RESTART_AT = 256 << 20
LARGEST_WITH_IMPORTS = 256 << 10


IMPORT = re.compile(r"^[ \t]*(?:from[ \t]+([A-Za-z_]\w*)|import[ \t]+([\w., \t]+))", re.MULTILINE)
MAGIC = re.compile(r"^[ \t]*(?:%|!)", re.MULTILINE)


def check(source: bytes) -> "dict[str, str | list[str] | bool | None]":
    """Compile `source`; return its error or its imports."""
    if source.lstrip()[:1] == b"{" and b'"cells"' in source:
        try:
            if (answer := check_notebook(json.loads(source))) is not None:
                return answer
        except (ValueError, RecursionError):
            pass
    return {"notebook": False, **check_script(source)}


def check_notebook(document: object) -> "dict[str, str | list[str] | bool | None] | None":
    """Return the error of a notebook or the imports in its cells; None if it is not a notebook.

    The cells are not compiled: their language has magics, and a cell that fails may never run.
    """
    cells = document.get("cells") if isinstance(document, dict) else None
    if not isinstance(document, dict) or not isinstance(cells, list):
        return None
    language = _language(document.get("metadata"))
    if language != "python":
        return {
            "notebook": True,
            "error": f"The language of the notebook is {language!r}; only Python can be run.",
        }
    sources = [_text_of(cell) for cell in cells if isinstance(cell, dict)]
    if not "".join(sources).strip():
        return {"notebook": True, "error": "The notebook has no code."}
    names: set[str] = set()
    for match in IMPORT.finditer("\n".join(sources)):
        for clause in [match[1]] if match[1] else match[2].split(","):
            names.add(clause.strip().partition(" ")[0].partition(".")[0])
    # a magic may run anything
    is_known = not any(MAGIC.search(text) for text in sources)
    return {"imports": sorted(names - {""}) if is_known else None, "notebook": True}


def _language(metadata: object) -> str:
    found = "python"
    if isinstance(metadata, dict):
        for section, key in (("language_info", "name"), ("kernelspec", "language")):
            if isinstance(part := metadata.get(section), dict) and isinstance(part.get(key), str):
                found = part[key]
                break
    return found.lower().removesuffix("3")[:40]


def _text_of(cell: "dict[str, object]") -> str:
    """Return the source of a code cell."""
    if cell.get("cell_type") != "code":
        return ""
    source = cell.get("source", "")
    if isinstance(source, list):
        return "".join(line for line in source if isinstance(line, str))
    return source if isinstance(source, str) else ""


def check_script(source: bytes) -> "dict[str, str | list[str] | None]":
    """Compile a script; return its error or its imports."""
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
    """Return the packages in the import statements of a program, at any depth.

    mlflow, which some environments lack, also counts if a text names it, as for import_module().
    """
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
        elif isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
            name = "mlflow" if isinstance(node.value, str) else b"mlflow"
            if name in node.value:  # type: ignore[operator]  # both are text, or both bytes
                names.add("mlflow")
    return names


def peak_memory() -> int:
    """Return the peak memory in bytes. After a vfork, getrusage returns the parent's peak."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("VmHWM"))


def _read_exactly(length: int) -> bytes:
    parts = []
    while length:
        part = os.read(0, length)
        if not part:
            sys.exit()  # the service has exited
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def main() -> None:
    """Answer requests until the peer closes the socket."""
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    while True:
        source = _read_exactly(int.from_bytes(_read_exactly(8), "big"))
        result = check(source)
        last = peak_memory() > RESTART_AT
        answer = marshal.dumps({**result, "last": last}, 2)
        os.write(0, len(answer).to_bytes(8, "big") + answer)
        if last:
            return  # releases the memory; the service starts another process


if __name__ == "__main__":
    main()
