"""Compiles modules: `python -I -S compile_program.py DIRECTORY DONE PARENT NICENESS`.

DONE is a file that is there once all that can be compiled has been.

Nothing of the environment is run. Only as long as PARENT lives: jobs do without, they only import
more slowly. Standard library alone.
"""

import compileall
import os
import signal
import sys

# the folder that holds the package; last, since it is site-packages where Asgard is installed
sys.path.append(os.path.abspath(f"{__file__}/../../.."))

from asgard_async.supervisor.shim import linux


def main() -> None:
    """Compile what has no bytecode yet; modules that cannot be compiled are left."""
    directory, done, parent, niceness = sys.argv[1:]
    linux.signal_at_parents_death(signal.SIGKILL, int(parent))
    os.nice(int(niceness))
    compileall.compile_dir(directory, maxlevels=sys.maxsize, quiet=2)
    with open(done, "a"):
        pass


if __name__ == "__main__":
    main()
