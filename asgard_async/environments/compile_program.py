"""Compiles modules: `python -I -S compile_program.py DIRECTORY DONE PARENT NICENESS`.

DONE is a file to create once all modules that can be compiled are compiled.

None of the environment's code runs. The program is killed when PARENT exits: jobs work without
bytecode, only more slowly. It uses only the standard library.
"""

import compileall
import os
import signal
import sys

# the directory of the package, last on the path: it is site-packages if Asgard is installed
sys.path.append(os.path.abspath(f"{__file__}/../../.."))

from asgard_async.supervisor.shim import linux


def main() -> None:
    """Compile modules without bytecode, skipping those that cannot be compiled."""
    directory, done, parent, niceness = sys.argv[1:]
    linux.signal_at_parents_death(signal.SIGKILL, int(parent))
    os.nice(int(niceness))
    compileall.compile_dir(directory, maxlevels=sys.maxsize, quiet=2)
    with open(done, "a"):
        pass


if __name__ == "__main__":
    main()
