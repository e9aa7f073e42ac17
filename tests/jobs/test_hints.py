"""Hints on common failures: for each row of the table, real outputs for which it is true.

The outputs are those of real scripts, as jobs or by hand, against Python 3.11 (3.12 and 3.13 where
named), MLflow 3.17.2, scikit-learn 1.9, skops 0.16, pandas 3 and uv 0.13; only paths are shortened.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from asgard_async.jobs.failure import plain_text, uncaught_exception
from asgard_async.jobs.hints.facts import ABOUT_GROUPS, facts_about
from asgard_async.jobs.hints.failed_job import FailedJob
from asgard_async.jobs.hints.hint import hint_for, row_for
from asgard_async.jobs.hints.package_names import package_names
from asgard_async.jobs.hints.table import ROWS

OUTPUTS = Path(__file__).parent / "outputs"
SRC = ("src/__init__.py", "src/features.py", "src/read_rows.py", "src/train.py", "data/rows.csv")
HELPER = ("train.py", "prepare.sh")

SANDBOX: dict[str, Any] = {"isolation": "sandbox"}
LITE: dict[str, Any] = {"isolation": "sandbox-lite"}
USER: dict[str, Any] = {"isolation": "user"}
PROCESS: dict[str, Any] = {"isolation": "process"}


def archive(*files: str, entrypoint: str = "train.py", **context: Any) -> dict[str, Any]:
    return {"is_archive": True, "files": files, "entrypoint": entrypoint, **context}


@dataclass(frozen=True, kw_only=True)
class Case:
    """An output, what is known of the job, and a part of the advice."""

    output: str
    advice: str
    context: dict[str, Any] = field(default_factory=dict)


def case(output: str, advice: str, context: dict[str, Any] | None = None, **more: Any) -> Case:
    return Case(output=output, advice=advice, context={**(context or {}), **more})


def failed(output: str, **context: Any) -> FailedJob:
    """A failed job with this output: a lone script, unless the context says otherwise."""
    exit_code = context.get("exit_code", 1)
    exception = uncaught_exception(output, exit_code)
    known: dict[str, Any] = {
        "output": plain_text(output),
        "exception": exception.line if exception else None,
        "traceback": exception.traceback if exception else "",
        "exit_code": exit_code,
        "job_id": "0123abcd",
        "entrypoint": "train.py",
        "files": ("train.py",),
        "experiment_name": "gone",
    }
    return FailedJob(**(known | context))


def failed_with(case: Case) -> FailedJob:
    text = (OUTPUTS / f"{case.output}.txt").read_text("utf-8")
    if case.context.get("build"):
        return FailedJob(build_error=text, requirements=case.context.get("requirements", ()))
    return failed(text, **case.context)


def hint_of(output: str, **context: Any) -> str | None:
    return hint_for(failed(output, **context))


BUILD: dict[str, Any] = {"build": True}
CASES = (
    # --- modules --------------------------------------------------------------------------
    case(
        "archive_no_module_src",
        'Set PYTHONPATH to "." in "environment_vars"',
        archive(*SRC, entrypoint="src/train.py"),
    ),
    case(
        "archive_no_module_loaders",
        'Set PYTHONPATH to "code/lib"',
        archive("main.py", "code/lib/loaders.py", entrypoint="main.py"),
    ),
    case(
        "archive_no_module_inside",
        '"src" is in the archive but has no "src.models"',
        archive("train.py", "src/__init__.py"),
    ),
    case("relative_import", "with an entrypoint that imports by full names"),
    case(
        "relative_import",
        'set PYTHONPATH to "."',
        archive("src/train.py", "src/features.py", entrypoint="src/train.py"),
    ),
    case("no_module_google_colab", "exists only on Google Colab"),
    case("no_module_imp", "3.11 was the last version with it: use importlib", python=(3, 12)),
    case("no_module_distutils", 'add "setuptools" to "requirements"', python=(3, 12)),
    case("no_module_distutils", "is part of Python itself", python=(3, 11)),
    case("no_module_standard", "is part of Python itself"),
    case("no_module_inside", '"PIL" is installed but has no "PIL.Nothing"'),
    case("no_module_inside", "version of pillow"),
    case("no_module_torch", '"requirements" include torch', requirements=("torch>=2",)),
    case("no_module_docx", '"requirements" include python-docx', requirements=("python_docx",)),
    case("no_module_cv2", 'Add "opencv-python-headless" to "requirements"'),
    case("no_module_docx", 'Add "python-docx" to "requirements"'),
    case("no_module_pkg_resources", 'Add "setuptools<81" to "requirements"'),
    case("no_module_google_cloud", 'Add "google-cloud-storage" to "requirements"'),
    case("no_part_google_cloud", 'Add "google-cloud-storage" to "requirements"'),
    case("no_module_torch", 'Add "torch" to "requirements". If torch is your own module: only'),
    case("no_module_torch", "the archive lacks it", archive("train.py")),
    case("no_module_torch", 'Add "torch"', archive("train.py", "models/torch/net.py")),
    case("no_module_torch", "in the folders of PYTHONPATH", archive("x"), files=None),
    case("no_module_unknown", "in the folders of PYTHONPATH", archive("x"), files=None),
    case("pip_failed_before", 'Add "tabulate" to "requirements"'),
    case("no_module_utils", "looks like a module of your own: only the script itself"),
    case("no_module_utils", "add it to the archive", archive("train.py")),
    case("no_module_unknown", "only the script itself was uploaded"),
    case("no_module_unknown", "the archive lacks it", archive("train.py")),
    case("no_module_apex", "look up in its documentation how to install it"),
    case("use_pip_to_install", 'Add "openpyxl" to "requirements"'),
    case("no_parquet_engine", 'Add "pyarrow" to "requirements"'),
    case("pip_install_advised", 'Add "pydantic[email]" to'),
    case("no_library_libgl", '"opencv-python-headless"'),
    case("no_library", "libcuda.so.1 is a library of the system"),
    # --- environments ---------------------------------------------------------------------
    case("clash_with_mlflow", "Asgard added mlflow==3.17.2", BUILD),
    case("not_a_package", 'called "opencv-python-headless"', BUILD),
    # --- files ----------------------------------------------------------------------------
    case("no_file_of_windows", "not to yours"),
    case("no_file_in_home", 'does not replace "~"'),
    case("no_file_of_kaggle", "/kaggle exists only on Kaggle"),
    case("archive_no_rows", 'use "data/rows.csv"', archive(*SRC, entrypoint="src/read_rows.py")),
    case(
        "no_file_in_own_directory",
        'use "data/rows.csv"',
        archive("train.py", "data/rows.csv"),
    ),
    case("archive_no_file", "it has no such file", archive("train.py", "data/rows.csv")),
    case("archive_no_file", "where the job starts.", archive("x"), files=None),
    case("no_folder_to_write_to", "create its folder first", archive("train.py")),
    case("no_relative_file", "with only the script itself"),
    case("no_relative_file_pandas", "submit the directory as an archive"),
    case("no_relative_file_load", "submit the directory as an archive"),
    case("no_relative_file_loadtxt", "submit the directory as an archive"),
    case("no_file_in_own_directory", "with only the script itself"),
    case("no_folder_to_write_to", "create its folder first"),
    case("no_folder_for_joblib", "create its folder first"),
    case("no_folder_for_pandas", 'os.makedirs("outputs", exist_ok=True)'),
    case("no_absolute_file", "the machine that runs Asgard, not to yours"),
    case("no_absolute_file", "the machine that runs Asgard, not to yours", PROCESS),
    case("no_absolute_file_in_the_sandbox", "[isolation] read_only, or to read_write", SANDBOX),
    case("no_file_in_tmp", "each job has its own /tmp and /dev/shm", SANDBOX),
    case("write_to_environment", "cannot change their environment", SANDBOX),
    case("write_to_environment_denied", "cannot change their environment", LITE),
    case("write_outside_the_sandbox", "[isolation] read_write", SANDBOX),
    case("write_outside_the_sandbox", "both belong to the job", PROCESS),
    case("permission_denied", "[isolation] read_only or read_write", LITE),
    case("permission_denied", "users of their own, which lack the permission", USER),
    case("permission_denied", "$TMPDIR"),
    # --- programs -------------------------------------------------------------------------
    case("pip_module", 'list them in "requirements"'),
    case("pip_program", 'list them in "requirements"'),
    case("pip_missing", 'list them in "requirements"'),
    case("no_module_pip", 'list them in "requirements"'),
    case("no_pip", 'list them in "requirements"'),
    case("no_pip_in_shell", 'list them in "requirements"'),
    case("apt_failed", "ask the administrator to install"),
    case("no_sudo", "ask the administrator to install"),
    case("no_sudo_in_shell", "ask the administrator to install"),
    case("no_program", '"nvidia-smi" is a program that is not installed'),
    case("no_program_asyncio", '"nvidia-smi" is a program that is not installed'),
    case("no_program_in_shell", '"nvidia-smi" is a program that is not installed'),
    case("no_program_in_bash", '"nvidia-smi" is a program that is not installed'),
    case("no_absolute_program", '"/opt/tools/prepare" is a program that is not installed'),
    case("no_absolute_program_in_shell", '"/opt/tools/prepare" is a program'),
    case("archive_helper_crlf", "line endings of Windows", archive(*HELPER)),
    case("archive_helper_crlf_in_shell", "line endings of Windows", archive(*HELPER)),
    case("no_helper", 'use "./tools/prepare.sh"', archive("train.py", "tools/prepare.sh")),
    case("no_helper_in_shell", 'use "./tools/prepare.sh"', archive("train.py", "tools/prepare.sh")),
    case("no_helper", 'The archive has no "prepare.sh"', archive("train.py")),
    case("no_helper_in_shell", 'The archive has no "prepare.sh"', archive("train.py")),
    case("no_helper", 'Only the script itself was uploaded, without "prepare.sh"'),
    case("no_helper_in_shell", 'Only the script itself was uploaded, without "prepare.sh"'),
    case("archive_helper_denied", "run `sh prepare.sh`, or upload a zip", archive(*HELPER)),
    case("archive_helper_denied_by_shell", "run `sh prepare.sh`, or upload", archive(*HELPER)),
    case("archive_helper_denied", "run `sh prepare.sh`.", files=HELPER),
    case("archive_helper_denied_by_shell", "run `sh prepare.sh`.", files=HELPER),
    case("archive_helper_without_first_line", "starts with #!", archive(*HELPER)),
    case("archive_helper_of_another_machine", "this kind of machine", archive("train.py", "tool")),
    # --- arguments, variables, notebooks, screens -----------------------------------------
    case("arguments_required", '"args" or "params"', exit_code=2),
    case("arguments_required_click", '"args" or "params"', exit_code=2),
    case("arguments_required_typer", '"args" or "params"', exit_code=2),
    case("arguments_required_fire", '"args" or "params"', exit_code=2),
    case("arguments_missing", '"args" or "params"'),
    case("no_keyboard", "environment_vars"),
    case("no_variable", '"DATA_DIR" is not set'),
    case("no_get_ipython", "comes from a notebook"),
    case("no_display_function", "exists only in notebooks"),
    case("no_screen_tkinter", "has no screen"),
    case("no_screen_matplotlib", "has no screen"),
    # --- memory, limits, network ----------------------------------------------------------
    case("memory_error", "ran out of memory"),
    case("memory_error_numpy", "ran out of memory"),
    case("bus_error", "[isolation] shm_mb", SANDBOX, exit_code=None, signal="SIGBUS"),
    case("bus_error", "--shm-size", PROCESS, exit_code=None, signal="SIGBUS"),
    case("tmp_full", "[isolation] shm_mb", SANDBOX),
    case("tmp_full", "ask the administrator to free space", PROCESS),
    case("too_many_threads", "[limits] processes"),
    case("too_many_files", "[limits] open_files"),
    case("file_too_large", "[limits] file_mb"),
    case("proxy_refused", 'The proxy in "environment_vars"', variables=("HTTP_PROXY",)),
    case("proxy_refused", "a proxy that the script set"),
    case("no_such_host", "does not know that host: check the name.", variables=("https_proxy",)),
    case("no_such_host", "set HTTPS_PROXY"),
    case("no_such_host_urllib", "set HTTPS_PROXY"),
    # --- MLflow ---------------------------------------------------------------------------
    case("untrusted_types", "Pass skops_trusted_types=['sklearn.tree._tree.Tree'] to log_model"),
    case("untrusted_types", 'serialization_format="cloudpickle"'),
    case("untrusted_types_in_file", "Pass trusted=['sklearn.tree._tree.Tree'] to skops.io.load"),
    case("experiment_exists", "Remove create_experiment"),
    case("experiment_deleted", '"gone", unless the script selects another'),
    case("experiment_deleted_selected", '"gone" is deleted in MLflow: restore it'),
    case("registered_model_exists", "Remove create_registered_model"),
    case("tracking_refused", "Remove set_tracking_uri"),
    case("tracking_by_proxy", "Asgard adds MLflow's host to NO_PROXY"),
    case("param_logged_twice", "log_metric and a step"),
    case("run_already_active", "with mlflow.start_run():"),
    case("logged_model_name_rejected", 'name="model" is enough'),
    case("registered_name_rejected", "Remove registered_model_name"),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.output}: {case.advice}"[:60])
def test_a_common_failure_gets_advice(case: Case) -> None:
    hint = hint_for(failed_with(case))
    assert hint is not None
    assert case.advice in hint
    assert hint[-1] == "."


def test_every_row_has_a_case() -> None:
    shown = {row_for(failed_with(case)) for case in (*CASES, *WITHOUT_ADVICE)}
    assert [row for row in ROWS if row not in shown] == []


def test_rows_name_only_facts_that_exist() -> None:
    documented = " ".join(add.__doc__ or "" for add in (facts_about, *ABOUT_GROUPS.values()))
    facts = set(re.findall(r"`([\w -]+)`", documented)) | {"SIGBUS", "exit 2"}
    for row in ROWS:
        assert {*row.when, *row.unless} <= facts, row


# --- no advice where none is true ---------------------------------------------------------------

WITHOUT_ADVICE = (
    case("cause", ""),
    case("exception_group", ""),
    case("keyboard_interrupt", ""),
    case("message_of_several_lines", ""),
    case("syntax_error", ""),
    case("recursion", ""),
    # neither a variable nor arguments
    case("key_error", ""),
    case("index_error", ""),
    case("arguments_invalid", "", exit_code=2),
    case("arguments_required", "", exit_code=1),
    # not about a path that hints know
    case("port_denied", ""),
    case("operation_not_permitted", "", SANDBOX),
    case("own_file_denied", "", SANDBOX),
    case("no_file_to_rename", ""),
    case("no_program_exec", ""),
    # the file exists now: the script changed its directory, or wrote the file later
    case("no_relative_file_load", "", files=("train.py", "x.npy")),
    # Popen names the missing program or the missing directory
    case("no_program_or_cwd", ""),
    case("helper_without_permission", "", SANDBOX),
    # the module is where Python looks
    case("archive_no_module_inside", "", archive("train.py", "src/models.py", "src/__init__.py")),
    # without knowing the files of the archive
    case("no_helper", "", archive("x"), files=None),
    case("archive_helper_denied", "", archive("x"), files=None),
    case("clash_of_own_requirements", "", BUILD),
    case("clash_with_own_mlflow", "", BUILD, requirements=("mlflow==2.1", "pandas>2.2")),
    case("no_such_version", "", BUILD),
    # tracebacks of threads and other processes did not end the script
    case("in_a_thread", ""),
    case("in_a_process", ""),
)


@pytest.mark.parametrize("case", WITHOUT_ADVICE, ids=lambda case: case.output)
def test_other_failures_get_no_advice(case: Case) -> None:
    assert hint_for(failed_with(case)) is None


def test_archives_are_not_told_about_lone_scripts() -> None:
    for case in CASES:
        if not case.context.get("build"):
            hint = hint_for(replace(failed_with(case), is_archive=True)) or ""
            assert "only the script itself" not in hint.lower(), case


def test_only_sandboxes_are_told_about_the_sandbox() -> None:
    for case in CASES:
        for level in ("user", "process", None):
            hint = hint_for(replace(failed_with(case), isolation=level)) or ""
            assert "sandbox" not in hint, case


def test_unknown_files_of_an_archive_give_careful_advice() -> None:
    text = (OUTPUTS / "archive_no_module_src.txt").read_text("utf-8")
    hint = hint_of(text, is_archive=True, files=None, entrypoint="src/train.py")
    assert hint is not None
    assert "or set PYTHONPATH" in hint


def test_no_exception_gives_no_advice() -> None:
    output = "ModuleNotFoundError: No module named 'torch'"
    assert hint_for(FailedJob(output=output, exit_code=1)) is None


# --- names of packages --------------------------------------------------------------------------


def traceback(line: str, statement: str = "import x") -> str:
    return (
        'Traceback (most recent call last):\n  File "train.py", line 1, in <module>\n'
        f"    {statement}\n{line}\n"
    )


@pytest.mark.parametrize(
    ("module", "package"),
    [
        ("sklearn", "scikit-learn"),
        ("PIL", "pillow"),
        ("yaml", "PyYAML"),
        ("skimage", "scikit-image"),
        ("dotenv", "python-dotenv"),
        ("attr", "attrs"),
        ("dateutil", "python-dateutil"),
        ("jwt", "PyJWT"),
        ("serial", "pyserial"),
        ("usb", "pyusb"),
        ("OpenSSL", "pyOpenSSL"),
        ("Crypto", "pycryptodome"),
        ("faiss", "faiss-cpu"),
        ("docx", "python-docx"),
        ("cv2", "opencv-python-headless"),
        ("torch", "torch"),
        ("sentence_transformers", "sentence-transformers"),
        ("google.protobuf", "protobuf"),
        ("ruamel.yaml", "ruamel.yaml"),
    ],
)
def test_the_package_of_a_module_is_suggested(module: str, package: str) -> None:
    top = module.partition(".")[0]
    hint = hint_of(traceback(f"ModuleNotFoundError: No module named '{top}'", f"import {module}"))
    assert hint is not None
    assert f'Add "{package}" to' in hint


@pytest.mark.parametrize(
    ("statement", "missing", "package"),
    [
        ("from google.cloud import storage", "google.cloud", "google-cloud-storage"),
        ("from google.cloud import bigquery as bq", "google.cloud", "google-cloud-bigquery"),
        ("import google.cloud.storage as gcs", "google", "google-cloud-storage"),
        ("from google.cloud.storage.blob import Blob", "google", "google-cloud-storage"),
        ("from azure.storage.blob import BlobClient", "azure", "azure-storage-blob"),
        ("import google.generativeai as genai", "google.generativeai", "google-generativeai"),
        ("from mpl_toolkits.basemap import Basemap", "mpl_toolkits.basemap", "basemap"),
    ],
)
def test_namespaces_have_a_package_for_each_part(
    statement: str, missing: str, package: str
) -> None:
    hint = hint_of(traceback(f"ModuleNotFoundError: No module named '{missing}'", statement))
    assert hint is not None
    assert f'Add "{package}" to' in hint


def test_a_namespace_alone_names_no_package() -> None:
    hint = hint_of(traceback("ModuleNotFoundError: No module named 'google'", "import google"))
    assert hint is not None
    assert 'Add "' not in hint


def test_names_of_packages_are_listed_once() -> None:
    names = package_names()
    assert len(names.packages) + len(names.same) > 500
    assert not names.same & names.own
    assert not set(names.packages) & (names.same | names.own | names.elsewhere)
    for module, package in names.packages.items():
        assert package not in {module, module.replace("_", "-")} or "." in module, module


# --- hostile output -----------------------------------------------------------------------------


def test_at_most_a_few_types_are_named() -> None:
    message = (
        "mlflow.exceptions.MlflowException: The saved sklearn model references untrusted types. If"
        " you are sure, set the 'skops_trusted_types' parameter. Root error: Untrusted types found"
        " in the file: [%s]."
    )
    two = hint_of(traceback(message % "'a.B', 'c.D'"))
    assert two is not None
    assert "skops_trusted_types=['a.B', 'c.D'] " in two
    many = hint_of(traceback(message % ", ".join(f"'a.B{n}'" for n in range(40))))
    assert many is not None
    assert "'a.B7', …] " in many


@pytest.mark.parametrize(
    "line",
    [
        "ModuleNotFoundError: No module named '; rm -rf /'",
        "ModuleNotFoundError: No module named '" + "x" * 5000 + "'",
    ],
)
def test_only_harmless_and_short_names_are_quoted(line: str) -> None:
    assert hint_of(traceback(line)) is None


def hostile_lines() -> Iterator[str]:
    path = "`rm -rf /`; $(x) {0} {path!r} \u202e" + "y" * 5000
    yield f"FileNotFoundError: [Errno 2] No such file or directory: '{path}'"
    yield f"FileNotFoundError: [Errno 2] No such file or directory: '{path[:300]}'"
    yield f"PermissionError: [Errno 13] Permission denied: './{path[:300]}'"
    yield "mlflow.exceptions.MlflowException: Cannot set a deleted experiment '{x} `y` $(z)' as"


@pytest.mark.parametrize("line", [*hostile_lines()])
def test_quoted_text_is_harmless(line: str) -> None:
    for context in ({}, archive("x"), SANDBOX):
        hint = hint_of(traceback(line), **context)
        assert hint is None or not re.search("[`$;{}\u202e]", hint.replace("$TMPDIR", ""))


def test_advice_is_bounded_whatever_is_printed() -> None:
    types = ", ".join(f"'{'a' * 199}{n}'" for n in range(1000))
    hint = hint_of(
        f"Untrusted types found in the file: [{types}]\n"
        + traceback("mlflow.exceptions.MlflowException: x references untrusted types").replace(
            "untrusted types", "untrusted types. Set skops_trusted_types"
        )
    )
    assert hint is not None
    assert len(hint) < 4000
