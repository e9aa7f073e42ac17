"""Hints on programs that a script calls."""

from asgard_async.jobs.hints.row import Row

CALLED = r"\bin _(?:execute_child|posix_spawn)\b"
MISSING = r"^FileNotFoundError: \[Errno 2\] No such file or directory: '(?P<program>[^'\n]{1,600})'"
DENIED = r"^PermissionError: \[Errno 13\] Permission denied: '(?P<program>[^'\n]{1,600})'"
BAD_FORMAT = r"^OSError: \[Errno 8\] Exec format error: '(?P<program>[^'\n]{1,600})'"
FAILED = r"^subprocess\.CalledProcessError: Command .{0,800}returned non-zero exit status "
SHELL = r"sh: (?:\d{1,6}: |line \d{1,6}: )?(?P<program>[^\s:]{1,200}): "
NOT_FOUND = f"{SHELL}(?:command )?not found$"
NOT_ALLOWED = f"{SHELL}Permission denied$"

USE_REQUIREMENTS = (
    'A job cannot install packages itself: list them in "requirements", and Asgard installs them'
    " before the job starts."
)
NOT_INSTALLED = (
    '"{program}" is a program that is not installed on the machine that runs Asgard, or not visible'
    " to jobs. Do without it, or ask the administrator to install it."
)
NO_SYSTEM_PACKAGES = (
    "A job cannot install software on the machine that runs Asgard: ask the administrator to"
    " install what the script needs."
)


def _missing(text: str, *when: str, unless: tuple[str, ...] = ()) -> tuple[Row, Row]:
    """Return the rows for a missing program: called directly, or by a shell."""
    return (
        Row(
            exception=MISSING,
            traceback=CALLED,
            when=when,
            # Popen names a missing working directory in the same way
            unless=("cwd", "unknown cwd", *unless),
            text=text,
        ),
        Row(exception=f"{FAILED}127", output=NOT_FOUND, when=when, unless=unless, text=text),
    )


def _not_executable(text: str, *when: str) -> tuple[Row, Row]:
    """Return the rows for a program without permission: called directly, or by a shell."""
    return (
        Row(exception=DENIED, traceback=CALLED, when=when, text=text),
        Row(exception=f"{FAILED}126", output=NOT_ALLOWED, when=when, text=text),
    )


PROGRAMS = (
    # --- installers -----------------------------------------------------------------------
    Row(
        exception=r"^subprocess\.CalledProcessError: Command .{0,400}\b(?:pip3?|uv|conda|mamba)\b"
        r".{0,40}\binstall\b",
        text=USE_REQUIREMENTS,
    ),
    Row(
        exception=r"^ModuleNotFoundError: No module named 'pip(?:\.|')",
        text=USE_REQUIREMENTS,
    ),
    Row(
        exception=r"^subprocess\.CalledProcessError: Command .{0,40}\b(?:apt|apt-get|yum|dnf|apk)\b"
        r".{0,40}\binstall\b",
        text=NO_SYSTEM_PACKAGES,
    ),
    Row(exception=MISSING, traceback=CALLED, when=("installer",), text=USE_REQUIREMENTS),
    Row(exception=MISSING, traceback=CALLED, when=("system installer",), text=NO_SYSTEM_PACKAGES),
    # --- missing programs -----------------------------------------------------------------
    *_missing(NOT_INSTALLED, "named"),
    *_missing(NOT_INSTALLED, "absolute"),
    *_missing(
        '"{program}" is there, but the interpreter that its first line names is not. If the file'
        " has the line endings of Windows (CRLF), convert them to those of Unix.",
        "relative",
        "present",
    ),
    *_missing(
        'Paths count from the archive\'s root, where the job starts: use "./{found}".',
        *("relative", "archive", "misplaced"),
    ),
    *_missing(
        'The archive has no "{program}". Paths count from its root, where the job starts.',
        *("relative", "archive"),
        unless=("present", "unlisted"),
    ),
    *_missing(
        'Only the script itself was uploaded, without "{program}": submit the directory as an'
        " archive.",
        *("relative", "script"),
        unless=("present",),
    ),
    # --- programs that cannot be executed -------------------------------------------------
    *_not_executable(
        '"{program}" is not executable: {remedy}, or upload a zip or tar that keeps the modes of'
        " files.",
        *("relative", "present", "archive"),
    ),
    *_not_executable('"{program}" is not executable: {remedy}.', "relative", "present", "script"),
    Row(
        exception=BAD_FORMAT,
        when=("relative",),
        text='"{program}" is neither a program for this kind of machine nor a script that starts'
        " with #! and its interpreter. Add that line to a script, or call its interpreter.",
    ),
    # no advice on other programs, since hints on files do not hold for them
    Row(exception=MISSING, traceback=CALLED, unless=("cwd",), text=""),
    Row(exception=DENIED, traceback=CALLED, unless=("cwd",), text=""),
)
