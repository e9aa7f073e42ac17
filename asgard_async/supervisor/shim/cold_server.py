"""Entry point of the keeper server for cold attempts: `python -I -S cold_server.py SOCKET PADDING`.

It loads the modules of keeper and shim and forks them; the job runs in a new interpreter. PADDING
reserves space for the command lines of forked processes.
"""

import os
import sys

# the directory of the package, last on the path: it is site-packages if Asgard is installed
sys.path.append(os.path.abspath(f"{__file__}/../../../.."))

from asgard_async.supervisor.shim.keeper_forking import open_channel, serve_specs
from asgard_async.supervisor.shim.script import Executed

if __name__ == "__main__":
    serve_specs(open_channel(int(sys.argv[1])), Executed())
