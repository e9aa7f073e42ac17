"""Entry of the server of cold attempts: `python -I -S cold_server.py SOCKET PADDING`.

An interpreter that has read what keeper and shim are made of, and forks them; their job is executed
in one of its own. PADDING makes room for the command lines of what is forked.
"""

import os
import sys

sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from shim.forked_keepers import open_channel, take_orders  # type: ignore[import-not-found]
from shim.script import Executed  # type: ignore[import-not-found]

if __name__ == "__main__":
    take_orders(open_channel(int(sys.argv[1])), Executed())
