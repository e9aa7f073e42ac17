"""Cases of hints: the outputs of failed jobs, with the advice that is true for each, or with none.

The outputs are those of real scripts, as jobs or by hand, against Python 3.11 (3.12 and 3.13 where
named), MLflow 3.17.2, scikit-learn 1.9, skops 0.16, pandas 3 and uv 0.13; only paths are shortened.
"""

from dataclasses import dataclass, field
from typing import Any

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
"""Failures for which no advice is true."""
