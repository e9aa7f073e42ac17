"""What to do about failures that every newcomer meets. Standard library only.

Each pattern is of a real message, kept in tests/jobs/test_hints.py. What is quoted from a message
is short and of harmless characters, since a script may print anything.
"""

import re
from collections.abc import Callable

from asgard_async.jobs.failure import is_memory_error

# Modules whose package goes by another name.
PACKAGES = {
    "attr": "attrs",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python-headless",  # opencv-python needs a display's libraries
    "dateutil": "python-dateutil",
    "dotenv": "python-dotenv",
    "fitz": "PyMuPDF",
    "git": "GitPython",
    "imblearn": "imbalanced-learn",
    "jwt": "PyJWT",
    "MySQLdb": "mysqlclient",
    "PIL": "pillow",
    "psycopg2": "psycopg2-binary",
    "pytorch_lightning": "pytorch-lightning",
    "pytorch_tabnet": "pytorch-tabnet",
    "sentence_transformers": "sentence-transformers",
    "serial": "pyserial",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "skopt": "scikit-optimize",
    "umap": "umap-learn",
    "yaml": "PyYAML",
}

OUT_OF_MEMORY = (
    "The job ran out of memory: use less data at a time or smaller types (float32), or fewer"
    ' workers (n_jobs). A job that named a "memory_mb" may name more; the administrator may allow'
    " more: [limits] memory_mb."
)

Match = re.Match[str]
Hint = Callable[[Match, str], str]

UNTRUSTED_TYPES = re.compile(r"Untrusted types found in the file: \[(?P<types>[^\]\n]{0,4000})\]")
MOST_TYPES_SHOWN = 8


def hint_for(log_tail: str, error_line: str | None) -> str | None:
    """A sentence on what to do, for an exception that is well known, or None.

    `error_line` is what `last_exception_line` found in `log_tail`.
    """
    if error_line is None:
        return None
    for pattern, hint in HINTS:
        if match := pattern.search(error_line):
            return hint(match, log_tail)
    if is_memory_error(error_line):
        return OUT_OF_MEMORY
    return None


def _untrusted_types(match: Match, log_tail: str) -> str:
    listed = UNTRUSTED_TYPES.search(log_tail)
    types = re.findall(r"'([\w.]{1,200})'", listed["types"]) if listed else []
    if not types:
        given = "[…]  # the types that the message names"
    elif len(types) > MOST_TYPES_SHOWN:
        given = f"{types[:MOST_TYPES_SHOWN]}"[:-1] + ", …]"
    else:
        given = f"{types}"
    if "skops_trusted_types" not in match.string:
        return f"Pass trusted={given} to skops.io.load, if you trust who made the file."
    return (
        f"Pass skops_trusted_types={given} to log_model, or"
        ' serialization_format="cloudpickle" to store the model as a pickle.'
    )


def _no_module(match: Match, log_tail: str) -> str:
    module = match["module"]
    top, _, inner = module.partition(".")
    if inner:
        return (
            f'There is a "{top}", but no "{module}" in it: look at the spelling and at the version'
            f' of {PACKAGES.get(top, top)} (pin it in "requirements").'
        )
    return (
        f'Add "{PACKAGES.get(top, top)}" to "requirements". If {top} is a file of your own: only'
        " the script itself is uploaded, so put its code there."
    )


def _no_file(match: Match, log_tail: str) -> str:
    if match["path"].startswith(("/", "~")):
        return "The path is looked for on the machine that runs Asgard, not on yours."
    return (
        "A job runs in a directory of its own, which is empty at first: give the absolute path of a"
        " file on the machine that runs Asgard, or let the script fetch the data."
    )


def _always(text: str) -> Hint:
    return lambda match, log_tail: text


HINTS: tuple[tuple[re.Pattern[str], Hint], ...] = (
    (re.compile(r"references untrusted types|Untrusted types found in the file"), _untrusted_types),
    (
        re.compile(r"^ModuleNotFoundError: No module named '(?P<module>[\w.]{1,200})'"),
        _no_module,
    ),
    (
        re.compile(r"^FileNotFoundError: .{0,200}?No such file or directory: '(?P<path>[^']{1,})'"),
        _no_file,
    ),
    (
        re.compile(r"^PermissionError: "),
        _always("Write to the working directory: it is the job's own, and so is $TMPDIR."),
    ),
    (
        re.compile(r"^EOFError: EOF when reading a line"),
        _always('A job has no keyboard: pass values in "environment_vars" and read os.environ.'),
    ),
    (
        re.compile(r"RESOURCE_ALREADY_EXISTS: Experiment"),
        _always(
            "Leave create_experiment out: Asgard makes the experiment of the submission and sets"
            " it. For another one, mlflow.set_experiment(name) also takes one that exists."
        ),
    ),
    (
        re.compile(r"RESOURCE_ALREADY_EXISTS: Registered Model"),
        _always(
            "Leave create_registered_model out: Asgard registers the job's model under"
            ' "model_name" when it has completed. mlflow.register_model also takes a name that'
            " exists, and adds a version."
        ),
    ),
    (
        re.compile(
            r"^mlflow\.exceptions\.MlflowException: API request to .{0,800}(?:"
            r"Connection refused|Max retries exceeded|timed out|NameResolutionError)"
        ),
        _always(
            "MLflow did not answer at that address. Leave set_tracking_uri out: Asgard sets"
            " MLFLOW_TRACKING_URI. If it was Asgard's own, see GET /mlops/status and retry the job."
        ),
    ),
    (
        re.compile(r"Changing param values is not allowed"),
        _always(
            "A parameter can be logged once per run: log what changes with log_metric and a step,"
            " or start a nested run for each value (mlflow.start_run(nested=True))."
        ),
    ),
    (
        re.compile(r"^Exception: Run with UUID \w{1,64} is already active"),
        _always(
            "Use `with mlflow.start_run():`, which ends the run at its end, or pass nested=True"
            " for a run inside another. A call of log_param or log_metric before start_run has"
            " opened a run already."
        ),
    ),
    (
        re.compile(r"INVALID_PARAMETER_VALUE: Invalid model name \("),
        _always(
            'log_model names the model within its run: name="model" will do. The name it is'
            ' registered under is the submission\'s "model_name".'
        ),
    ),
    (
        re.compile(r"INVALID_PARAMETER_VALUE: Invalid model name '"),
        _always(
            "Leave registered_model_name out: Asgard registers the model under the submission's"
            ' "model_name". A registered name has neither "/" nor ":".'
        ),
    ),
)
