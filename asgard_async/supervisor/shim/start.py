"""Entry of a cold attempt: `python -I -S start.py ATTEMPT_DIR`, its order on standard input.

The directory is named for people who read process lists; the order holds it too.
"""

import os
import sys

# the folder that holds the package; last, since it is site-packages where Asgard is installed
sys.path.append(os.path.abspath(f"{__file__}/../../../.."))

from asgard_async.supervisor.shim.keeper import keep
from asgard_async.supervisor.shim.process_spec import read_spec
from asgard_async.supervisor.shim.script import Executed

if __name__ == "__main__":
    keep(read_spec(0), Executed())
