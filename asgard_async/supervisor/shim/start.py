"""Entry point of a spawned keeper: `python -I -S start.py ATTEMPT_DIR`.

It reads its specification, which also contains the directory, from standard input. The argument
identifies the process in process lists, and to the service if the attempt's files are gone. A new
path of this file must therefore be added to `attempt.SHIM_STARTS`.
"""

import os
import sys

# the directory of the package, last on the path: it is site-packages if Asgard is installed
sys.path.append(os.path.abspath(f"{__file__}/../../../.."))

from asgard_async.supervisor.shim.keeper import keep
from asgard_async.supervisor.shim.process_spec import read_spec
from asgard_async.supervisor.shim.script import Executed

if __name__ == "__main__":
    keep(read_spec(0), Executed())
