"""Entry of the server of cold attempts: `python -I -S cold_server.py SOCKET PADDING`.

An interpreter that has read what keeper and shim are made of, and forks them; their job is executed
in one of its own. PADDING makes room for the command lines of what is forked.
"""

import os
import sys

# the folder that holds the package; last, since it is site-packages where Asgard is installed
sys.path.append(os.path.abspath(f"{__file__}/../../../.."))

from asgard_async.supervisor.shim.keeper_forking import open_channel, serve_specs
from asgard_async.supervisor.shim.script import Executed

if __name__ == "__main__":
    serve_specs(open_channel(int(sys.argv[1])), Executed())
