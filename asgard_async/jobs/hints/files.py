"""Hints on files that are missing or must not be written."""

from asgard_async.jobs.hints.row import Row

MISSING = (
    r"^FileNotFoundError: (?:.{0,100}No such file or directory: '|(?=[^'\n]{1,600} not found\.$))"
    r"(?P<path>[^'\n]{1,600}?)(?:'$| not found\.$)"
)
DENIED = r"^PermissionError: \[Errno 13\] Permission denied: '(?P<path>[^'\n]{1,600})'"
READ_ONLY = r"^OSError: \[Errno 30\] Read-only file system: '(?P<path>[^'\n]{1,600})'"
NO_FOLDER = r"^OSError: Cannot save file into a non-existent directory: '(?P<path>[^'\n]{1,600})'"
OF_THE_MACHINE = (
    "Paths refer to the machine that runs Asgard, not to yours. Submit the directory with the data"
    " as an archive, or download the data in the script."
)
CREATE_FOLDER = "If the script writes this file, create its folder first (os.makedirs)."
OWN_PLACES = "Write to the working directory or to $TMPDIR; both belong to the job."

FILES = (
    # --- missing files --------------------------------------------------------------------
    Row(
        exception=MISSING,
        when=("windows",),
        text=OF_THE_MACHINE,
    ),
    Row(
        exception=MISSING,
        when=("home",),
        text='Python does not replace "~" by itself, and the home directory of a job is its own and'
        " empty. Submit the directory with the data as an archive, or download the data in the"
        " script.",
    ),
    Row(
        exception=MISSING,
        when=("platform",),
        text="{folder} exists only on {platform}. Submit the directory with the data as an archive,"
        " or download the data in the script.",
    ),
    Row(
        exception=MISSING,
        when=("relative", "archive", "misplaced"),
        text='Paths count from the archive\'s root, where the job starts: use "{found}".',
    ),
    Row(
        exception=MISSING,
        when=("relative", "archive", "unlisted"),
        text="Paths count from the archive's root, where the job starts.",
    ),
    Row(
        exception=MISSING,
        when=("relative", "archive", "no folder"),
        unless=("present",),
        text="Paths count from the archive's root, where the job starts, and it has no such file."
        f" {CREATE_FOLDER}",
    ),
    Row(
        exception=MISSING,
        when=("relative", "archive"),
        unless=("present",),
        text="Paths count from the archive's root, where the job starts, and it has no such file.",
    ),
    Row(
        exception=MISSING,
        when=("relative", "script", "no folder"),
        unless=("present",),
        text="A job starts in its own directory, with only the script itself: submit the directory"
        f" as an archive, or download the data in the script. {CREATE_FOLDER}",
    ),
    Row(
        exception=MISSING,
        when=("relative", "script"),
        unless=("present",),
        text="A job starts in its own directory, with only the script itself: submit the directory"
        " as an archive, or download the data in the script.",
    ),
    Row(
        exception=MISSING,
        when=("absolute", "sandbox", "in memory"),
        text="In the sandbox, each job has its own /tmp and /dev/shm, empty at first. Keep what"
        " later jobs need in MLflow, or in a directory that the administrator adds to [isolation]"
        " read_write.",
    ),
    Row(
        exception=MISSING,
        when=("absolute", "sandbox"),
        text="The sandbox shows a job the system, its environment and its own directory. If this"
        " path exists on the machine that runs Asgard, the administrator can add it to [isolation]"
        " read_only, or to read_write. Otherwise submit the data with the script as an archive, or"
        " download it in the script.",
    ),
    Row(
        exception=MISSING,
        when=("absolute",),
        text=OF_THE_MACHINE,
    ),
    Row(
        exception=NO_FOLDER,
        when=("relative",),
        text='Create the folder first, for example with os.makedirs("{path}", exist_ok=True).',
    ),
    # --- permissions ----------------------------------------------------------------------
    *(
        Row(
            exception=pattern,
            when=("site-packages",),
            text="Jobs cannot change their environment: list the packages that the script needs in"
            ' "requirements".',
        )
        for pattern in (DENIED, READ_ONLY)
    ),
    Row(
        exception=READ_ONLY,
        when=("absolute", "sandbox"),
        text="In the sandbox, a job can write only to its own directories: the working directory,"
        " $TMPDIR and $HOME. The administrator can add others to [isolation] read_write.",
    ),
    Row(
        exception=READ_ONLY,
        when=("absolute",),
        text=OWN_PLACES,
    ),
    Row(
        exception=DENIED,
        when=("absolute", "hidden"),
        text="The sandbox lets a job read the system and its environment, and write to its own"
        " directories: the working directory, $TMPDIR and $HOME. The administrator can add others"
        " to [isolation] read_only or read_write.",
    ),
    Row(
        exception=DENIED,
        when=("absolute", "user"),
        text="Jobs run as users of their own, which lack the permission. To write, use the working"
        " directory or $TMPDIR; both belong to the job. To read, all users need the permission.",
    ),
    Row(
        exception=DENIED,
        when=("absolute",),
        text=f"The user that runs the job lacks the permission. {OWN_PLACES}",
    ),
)
