"""The table of hints. The first row that applies counts."""

from asgard_async.jobs.hints.builds import BUILDS
from asgard_async.jobs.hints.files import FILES
from asgard_async.jobs.hints.machine import MACHINE
from asgard_async.jobs.hints.modules import MODULES
from asgard_async.jobs.hints.programs import PROGRAMS
from asgard_async.jobs.hints.row import Row
from asgard_async.jobs.hints.tracking import TRACKING
from asgard_async.jobs.hints.usage import USAGE

ROWS: tuple[Row, ...] = (
    *BUILDS,
    *TRACKING,
    *PROGRAMS,  # before files: a missing program is reported like a missing file
    *MODULES,
    *FILES,
    *USAGE,
    *MACHINE,
)
