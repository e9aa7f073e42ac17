"""Detection of imports in an archive's modules, line by line.

This does not use ast, because some sources crash it. A false positive, from text that only looks
like an import, does no harm.
"""

import re

LARGEST_MODULE = 256 << 10
IMPORT = re.compile(rb"^[ \t]*(?:from[ \t]+([A-Za-z_]\w*)|import[ \t]+([\w., \t]+))", re.MULTILINE)


def imports_in(source: bytes | bytearray) -> set[str]:
    """Return the top-level names of the packages that a module may import.

    mlflow, which some environments lack, counts wherever it is named, as for import_module().
    """
    names: set[str] = {"mlflow"} if b"mlflow" in source else set()
    for match in IMPORT.finditer(source):
        clauses = [match[1]] if match[1] else match[2].split(b",")
        for clause in clauses:
            name = clause.strip().partition(b" ")[0].partition(b".")[0]
            names.add(name.decode())
    return names - {""}
