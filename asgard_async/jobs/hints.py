"""Hints on common failures of scripts. Standard library only.

Each pattern matches a real message, kept in tests/jobs/outputs. Text quoted from a message is short
and contains only harmless characters, because a script may print anything.
"""

import re
from collections.abc import Callable

from asgard_async.jobs.failure import is_memory_error

# Modules whose package has a different name.
PACKAGES = {
    "attr": "attrs",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python-headless",  # opencv-python needs GUI libraries
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
    "The job ran out of memory: process less data at a time, use smaller types (float32) or fewer"
    ' workers (n_jobs). If the job set "memory_mb", raise it; the administrator can raise the limit'
    " for all jobs ([limits] memory_mb)."
)

Match = re.Match[str]
Hint = Callable[[Match, str], str]

UNTRUSTED_TYPES = re.compile(r"Untrusted types found in the file: \[(?P<types>[^\]\n]{0,4000})\]")
MOST_TYPES_SHOWN = 8


def hint_for(log_tail: str, error_line: str | None) -> str | None:
    """Return advice for a well-known exception, or None.

    `error_line` is the result of `last_exception_line` for `log_tail`.
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
    type_list = UNTRUSTED_TYPES.search(log_tail)
    types = re.findall(r"'([\w.]{1,200})'", type_list["types"]) if type_list else []
    if not types:
        argument = "[…]  # the types named in the message"
    elif len(types) > MOST_TYPES_SHOWN:
        argument = f"{types[:MOST_TYPES_SHOWN]}"[:-1] + ", …]"
    else:
        argument = f"{types}"
    if "skops_trusted_types" not in match.string:
        return f"Pass trusted={argument} to skops.io.load if you trust the author of the file."
    return (
        f"Pass skops_trusted_types={argument} to log_model, or"
        ' serialization_format="cloudpickle" to store the model as a pickle.'
    )


def _no_module(match: Match, log_tail: str) -> str:
    module = match["module"]
    top, _, inner = module.partition(".")
    if inner:
        return (
            f'"{top}" is installed but has no "{module}": check the spelling and the version of'
            f' {PACKAGES.get(top, top)} (pin it in "requirements").'
        )
    return (
        f'Add "{PACKAGES.get(top, top)}" to "requirements". If {top} is your own module: only the'
        " script itself was uploaded; put the code there, or submit the directory as an archive."
    )


def _no_file(match: Match, log_tail: str) -> str:
    if match["path"].startswith(("/", "~")):
        return "Paths refer to the machine that runs Asgard, not to yours."
    return (
        "A job starts in its own empty directory: use the absolute path of a file on the"
        " machine that runs Asgard, or download the data in the script."
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
        _always("Write to the working directory or to $TMPDIR; both belong to the job."),
    ),
    (
        re.compile(r"^EOFError: EOF when reading a line"),
        _always(
            'A job has no standard input: pass values in "environment_vars" and read os.environ.'
        ),
    ),
    (
        re.compile(r"RESOURCE_ALREADY_EXISTS: Experiment"),
        _always(
            "Remove create_experiment: Asgard creates the submission's experiment and selects it."
            " For another one use mlflow.set_experiment(name), which also accepts existing ones."
        ),
    ),
    (
        re.compile(r"RESOURCE_ALREADY_EXISTS: Registered Model"),
        _always(
            'Remove create_registered_model: Asgard registers the job\'s model under "model_name"'
            " once the job has completed. mlflow.register_model also accepts an existing name and"
            " adds a version."
        ),
    ),
    (
        re.compile(
            r"^mlflow\.exceptions\.MlflowException: API request to .{0,800}(?:"
            r"Connection refused|Max retries exceeded|timed out|NameResolutionError)"
        ),
        _always(
            "MLflow did not answer at that address. Remove set_tracking_uri: Asgard sets"
            " MLFLOW_TRACKING_URI. If the address is Asgard's, see GET /mlops/status and"
            " retry the job."
        ),
    ),
    (
        re.compile(r"Changing param values is not allowed"),
        _always(
            "A parameter can be logged once per run: log changing values with log_metric and a"
            " step, or start a nested run for each value (mlflow.start_run(nested=True))."
        ),
    ),
    (
        re.compile(r"^Exception: Run with UUID \w{1,64} is already active"),
        _always(
            "Use `with mlflow.start_run():`, which ends the run when the block ends, or pass"
            " nested=True for a run inside another. Calling log_param or log_metric before"
            " start_run opens a run as well."
        ),
    ),
    (
        re.compile(r"INVALID_PARAMETER_VALUE: Invalid model name \("),
        _always(
            'log_model names the model within its run: name="model" is enough. The registered name'
            ' is the submission\'s "model_name".'
        ),
    ),
    (
        re.compile(r"INVALID_PARAMETER_VALUE: Invalid model name '"),
        _always(
            "Remove registered_model_name: Asgard registers the model under the submission's"
            ' "model_name". Registered names must not contain "/" or ":".'
        ),
    ),
)
