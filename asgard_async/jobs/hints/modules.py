"""Hints on modules that cannot be imported."""

from asgard_async.jobs.hints.row import Row

MISSING = r"^ModuleNotFoundError: No module named '(?P<module>[\w.]{1,200})'"
NO_PART = r"^ImportError: cannot import name '\w{1,100}' from '(?P<module>[\w.]{1,200})'"
RELATIVE = r"^ImportError: attempted relative import (?:with no known parent package|beyond top-)"
LONE_SCRIPT = (
    "only the script itself was uploaded; put the code there, or submit the directory as an archive"
)
BESIDE = (
    "Python looks for modules beside the entrypoint, and in the folders of PYTHONPATH, which you"
    ' can set in "environment_vars" (paths count from the archive\'s root)'
)

MODULES = (
    # --- modules of the archive -----------------------------------------------------------
    Row(
        exception=MISSING,
        when=("own",),
        text='"{top}" is in the archive, but Python looks for modules beside the entrypoint, in'
        ' {beside}. Set PYTHONPATH to "{folder}" in "environment_vars" (paths count from the'
        ' archive\'s root), or use an entrypoint that is beside "{top}".',
    ),
    Row(
        exception=MISSING,
        when=("inside own",),
        text='"{top}" is in the archive but has no "{module}": check the spelling, and that the'
        " archive has all files.",
    ),
    Row(
        exception=RELATIVE,
        when=("archive",),
        text="The entrypoint is run as a script, which is not part of a package: import by full"
        ' names (from package.module import …) and set PYTHONPATH to "." in "environment_vars", or'
        " use an entrypoint at the archive's root that imports the package.",
    ),
    Row(
        exception=RELATIVE,
        when=("script",),
        text="The script is not part of a package, and only the script itself was uploaded: submit"
        " the directory as an archive, with an entrypoint that imports by full names.",
    ),
    # --- modules that no package provides -------------------------------------------------
    Row(
        exception=MISSING,
        when=("platform",),
        text='"{module}" exists only on {platform}: remove the import, and what uses it.',
    ),
    Row(
        exception=MISSING,
        when=("removed",),
        text='"{top}" is no longer part of Python; {version} was the last version with it:'
        " {remedy}.",
    ),
    Row(
        exception=MISSING,
        when=("standard",),
        text='"{top}" is part of Python itself, but is missing from the Python on the machine that'
        " runs Asgard; no package provides it. Its administrator can install it.",
    ),
    # --- packages -------------------------------------------------------------------------
    Row(
        exception=MISSING,
        when=("inside",),
        text='"{top}" is installed but has no "{module}": check the spelling and the version of'
        ' {package} (pin it in "requirements").',
    ),
    Row(
        exception=MISSING,
        when=("required",),
        text='"requirements" include {package}, but its version there has no "{module}": check the'
        " spelling and the version.",
    ),
    Row(
        exception=MISSING,
        when=("known",),
        text='Add "{package}" to "requirements": it provides {module}.',
    ),
    Row(
        exception=NO_PART,
        when=("known",),
        unless=("required",),
        text='Add "{package}" to "requirements": it provides {module}.',
    ),
    Row(
        exception=MISSING,
        when=("elsewhere",),
        text='PyPI has no package "{top}" that provides {module}: look up in its documentation how'
        ' to install it, and add that to "requirements".',
    ),
    Row(
        exception=MISSING,
        when=("same", "archive", "unlisted"),
        text=f'Add "{{package}}" to "requirements". If {{top}} is your own module: {BESIDE}.',
    ),
    Row(
        exception=MISSING,
        when=("unknown", "archive", "unlisted"),
        text='If {top} comes from a package, add that package to "requirements". If it is your own'
        f" module: {BESIDE}.",
    ),
    Row(
        exception=MISSING,
        when=("same", "script"),
        text=f'Add "{{package}}" to "requirements". If {{top}} is your own module: {LONE_SCRIPT}.',
    ),
    Row(
        exception=MISSING,
        when=("same", "archive"),
        text='Add "{package}" to "requirements". If {top} is your own module: the archive lacks'
        " it.",
    ),
    Row(
        exception=MISSING,
        when=("own name", "script"),
        text=f'"{{top}}" looks like a module of your own: {LONE_SCRIPT}.',
    ),
    Row(
        exception=MISSING,
        when=("own name", "archive"),
        text='"{top}" looks like a module of your own, which Python does not find beside the'
        ' entrypoint: add it to the archive, or set PYTHONPATH in "environment_vars" to its'
        " folder (paths count from the archive's root).",
    ),
    Row(
        exception=MISSING,
        when=("unknown", "script"),
        text='If {top} comes from a package, add that package to "requirements". If it is your own'
        f" module: {LONE_SCRIPT}.",
    ),
    Row(
        exception=MISSING,
        when=("unknown", "archive"),
        text='If {top} comes from a package, add that package to "requirements". If it is your own'
        " module: the archive lacks it.",
    ),
    Row(
        exception=r"^ImportError: .{0,300}\b[Uu]se pip.{0,80} to install (?:the )?(?P<package>"
        r"[A-Za-z][\w.-]{0,100}?)(?: package)?\.?$",
        text='Add "{package}" to "requirements".',
    ),
    Row(
        exception=r"^ImportError: Unable to find a usable engine; tried using: '(?P<package>\w+)'",
        text='Add "{package}" to "requirements".',  # pandas
    ),
    Row(
        exception=r"^(?:ImportError|ModuleNotFoundError): .{0,600}pip3? install"
        r" ['\"`]?(?P<package>[A-Za-z][\w.-]{0,100}(?:\[[\w,-]{1,100}\])?)",
        text='Add "{package}" to "requirements"; a job cannot install packages itself.',
    ),
    Row(
        exception=r"^ImportError: libGL\.so\.1: cannot open shared object file",
        text='"opencv-python" needs a library for screens: replace it in "requirements" by'
        ' "opencv-python-headless".',
        traceback="cv2",
    ),
    Row(
        exception=r"^(?:ImportError|OSError): (?P<library>lib[\w.+-]{1,100}): cannot open shared"
        r" object file: No such file",
        text="{library} is a library of the system, not of Python, and jobs do not find it on the"
        " machine that runs Asgard: use a package that brings it, or ask the administrator to"
        " install it.",
    ),
)
