"""Hints on memory, limits and the network."""

from asgard_async.jobs.failure import MEMORY_ERRORS
from asgard_async.jobs.hints.row import Row

OUT_OF_MEMORY = (
    "The job ran out of memory: process less data at a time, use smaller types (float32) or fewer"
    ' workers (n_jobs). If the job set "memory_mb", raise it; the administrator can raise the limit'
    " for all jobs ([limits] memory_mb)."
)
NO_SPACE = r"^OSError: \[Errno 28\] No space left on device"
RESOLUTION = r"NameResolutionError|Name or service not known|Temporary failure in name resolution"
NETWORK = r"^(?:requests\.|urllib3?\.|http[xc]|socket\.|aiohttp\.|ConnectionError)"
BUS_ERROR = (
    "A bus error usually means that /dev/shm is full, where processes share memory, as workers of a"
    " DataLoader do: use fewer workers (num_workers=0 uses no shared memory) or smaller batches."
)
OWN_SHM = f"{BUS_ERROR} The administrator can raise [isolation] shm_mb."

MACHINE = (
    # --- memory and disk ------------------------------------------------------------------
    Row(
        exception=rf"^(?:[\w.]{{1,100}}\.)?(?:{'|'.join(sorted(MEMORY_ERRORS))})(?::|$)",
        text=OUT_OF_MEMORY,
    ),
    Row(
        when=("SIGBUS", "sandbox"),
        text=OWN_SHM,
    ),
    Row(
        when=("SIGBUS",),
        text=f"{BUS_ERROR} All jobs use the /dev/shm of the machine or container; in Docker,"
        " --shm-size sets its size.",
    ),
    Row(
        exception=NO_SPACE,
        when=("sandbox",),
        text="A file system is full: that of the job's directory, or the job's own"
        " /dev/shm, which is memory and small ([isolation] shm_mb). Write large files to the"
        " working directory or to $TMPDIR, which are on disk.",
    ),
    Row(
        exception=NO_SPACE,
        text="A file system is full: that of the job's directory, or /tmp or /dev/shm of the"
        " machine that runs Asgard. Write less, or ask the administrator to free space.",
    ),
    # --- limits ---------------------------------------------------------------------------
    Row(
        exception=r"^RuntimeError: can't start new thread"
        r"|^BlockingIOError: \[Errno 11\] Resource temporarily unavailable",
        text="The job has too many processes and threads: use fewer workers (n_jobs, num_workers),"
        " or let pools end before new ones start. The administrator can raise the limit ([limits]"
        " processes).",
    ),
    Row(
        exception=r"^OSError: \[Errno 24\] Too many open files",
        text="The job has too many open files: close files after use (with open(…) as file:). The"
        " administrator can raise the limit ([limits] open_files).",
    ),
    Row(
        exception=r"^OSError: \[Errno 27\] File too large",
        text="A file exceeds the size limit: write several smaller files. The administrator can"
        " raise the limit ([limits] file_mb).",
    ),
    # --- network --------------------------------------------------------------------------
    Row(
        exception=r"ProxyError",
        when=("proxy",),
        text='The proxy in "environment_vars" (HTTP_PROXY, HTTPS_PROXY) did not pass the request'
        " on: correct its address, or add the host to NO_PROXY if no proxy is needed for it.",
    ),
    Row(
        exception=r"ProxyError",
        text="The request went to a proxy that the script set (HTTP_PROXY, HTTPS_PROXY), which did"
        " not pass it on: correct its address, or add the host to NO_PROXY if no proxy is needed"
        " for it.",
    ),
    Row(
        exception=rf"{NETWORK}.{{0,800}}(?:{RESOLUTION})",
        when=("proxy",),
        text="The machine that runs Asgard does not know that host: check the name.",
    ),
    Row(
        exception=rf"{NETWORK}.{{0,800}}(?:{RESOLUTION})",
        text="The machine that runs Asgard does not know that host: check the name. If the machine"
        " reaches the network through a proxy, set HTTPS_PROXY and HTTP_PROXY in"
        ' "environment_vars"; jobs do not inherit the service\'s.',
    ),
)
