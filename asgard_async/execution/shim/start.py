"""Entry of a cold attempt: `python -I -S start.py ATTEMPT_DIR`, its order on standard input.

The directory is named for people who read process lists; the order holds it too.
"""

import os
import sys

sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# by path, not as asgard_async.…: in a built environment Asgard is not installed
from shim.keeper import keep  # type: ignore[import-not-found]
from shim.order import read_order  # type: ignore[import-not-found]
from shim.script import Executed  # type: ignore[import-not-found]

if __name__ == "__main__":
    keep(read_order(0), Executed())
