"""Stops the embedded MLflow server after the service has exited and its last job has ended.

`python -I -S undertaker.py SERVICE_PID IN_USE SERVICE_LOCK ATTEMPT_DIR`. It waits for locks instead
of polling: every job's keeper holds a shared lock on IN_USE. If another service has been started
meanwhile, that service holds SERVICE_LOCK and manages the server.
"""

import fcntl
import os
import select
import signal
import sys

# the directory of the package, last on the path: it is site-packages if Asgard is installed
sys.path.append(os.path.abspath(f"{__file__}/../../../.."))

from asgard_async.supervisor.shim import files, linux


def main() -> None:
    """Wait for the service to exit and the jobs to end, then stop the server's keeper."""
    service_pid, in_use, service_lock, attempt = sys.argv[1:]
    _wait_for_exit_of(int(service_pid))
    jobs = os.open(in_use, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(jobs, fcntl.LOCK_EX)
    service = os.open(service_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(service, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    with open(os.path.join(attempt, files.LOCK)) as file:
        pid, start_time, boot_id = file.read().split()
    keeper = linux.open_process(int(pid))
    if keeper is None:
        return
    if (linux.start_time(int(pid)), linux.boot_id()) == (int(start_time), boot_id):
        signal.pidfd_send_signal(keeper, signal.SIGTERM)


def _wait_for_exit_of(parent: int) -> None:
    if os.getppid() != parent:
        return
    service = linux.open_process(parent)
    if service is None:
        return
    poll = select.poll()
    poll.register(service, select.POLLIN)
    poll.poll()


if __name__ == "__main__":
    main()
