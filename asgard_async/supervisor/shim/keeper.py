"""The keeper, which waits for the shim and then kills the remaining processes of the attempt."""

import fcntl
import os
import signal

from . import files, limits, linux
from .process_spec import ProcessSpec
from .script import Program
from .supervise import KEEPER_DIED, supervise


def keep(spec: ProcessSpec, program: Program) -> None:
    """Run the keeper of an attempt; never returns.

    Exits without starting anything if another process holds the attempt's lock, or if the attempt
    was already started or ruled out.

    Raises:
        ScriptIsNext: in the job's process (see `supervise`).
    """
    os.umask(0o077)
    linux.close_all_but(0, 1, 2, *program.descriptors, *spec["inherit"])
    lock = files.try_lock(spec["directory"])
    if lock is None or files.is_decided(spec["directory"]):
        os._exit(0)
    identity = f"{os.getpid()} {linux.start_time(os.getpid())} {linux.boot_id()}\n"
    os.pwrite(lock, identity.encode(), 0)
    for path in spec["held"]:
        # stays open and locked until this process and the shim have exited
        lock_file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock_file, fcntl.LOCK_SH)
    linux.become_subreaper()
    signals = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    keeper = os.getpid()
    shim = os.fork()
    if shim == 0:
        linux.signal_at_parents_death(KEEPER_DIED, keeper)
        supervise(spec, program)
    # only the shim keeps the notification pipe open, so that the service notices if the shim dies
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    for descriptor in spec["inherit"]:
        os.close(descriptor)
    _wait_for(shim, signals)
    limits.clear(spec["directory"])
    linux.kill_descendants()
    linux.leave(0)


def _wait_for(shim: int, signals: "set[signal.Signals]") -> None:
    while True:
        number = signal.sigwait(signals)
        if number == signal.SIGTERM:
            os.kill(shim, signal.SIGTERM)
            os.kill(shim, signal.SIGCONT)  # a stopped process must wake first
        elif number == signal.SIGCHLD:
            # this process inherits the job's orphans only once the shim, the nearer subreaper, died
            if os.waitpid(shim, os.WNOHANG)[0] == shim:
                return
