"""Hints on common failures.

The outputs are those of real scripts against MLflow 3.17.2, scikit-learn 1.9 and skops 0.16.
"""

from pathlib import Path

import pytest

from asgard_async.jobs.failure import last_exception_line
from asgard_async.jobs.hints import hint_for

OUTPUTS = Path(__file__).parent / "outputs"


def hint_of(output: str) -> str | None:
    return hint_for(output, last_exception_line(output))


@pytest.mark.parametrize(
    ("output", "advice"),
    [
        ("untrusted_types", "Pass skops_trusted_types=['sklearn.tree._tree.Tree'] to log_model"),
        ("untrusted_types", 'serialization_format="cloudpickle"'),
        ("untrusted_types_in_file", "Pass trusted=['sklearn.tree._tree.Tree'] to skops.io.load"),
        ("no_module_torch", 'Add "torch" to "requirements"'),
        ("no_module_cv2", 'Add "opencv-python-headless" to "requirements"'),
        ("no_module_inside", '"PIL" is installed but has no "PIL.Nothing"'),
        ("no_module_inside", "version of pillow"),
        ("memory_error", "ran out of memory"),
        ("memory_error_numpy", "ran out of memory"),
        ("no_relative_file", "starts in its own empty directory"),
        ("no_relative_file_pandas", "starts in its own empty directory"),
        ("no_absolute_file", "the machine that runs Asgard, not to yours"),
        ("permission_denied", "$TMPDIR"),
        ("no_keyboard", "environment_vars"),
        ("experiment_exists", "Remove create_experiment"),
        ("registered_model_exists", "Remove create_registered_model"),
        ("tracking_refused", "Remove set_tracking_uri"),
        ("param_logged_twice", "log_metric and a step"),
        ("run_already_active", "with mlflow.start_run():"),
        ("logged_model_name_rejected", 'name="model" is enough'),
        ("registered_name_rejected", "Remove registered_model_name"),
    ],
)
def test_a_common_failure_gets_advice(output: str, advice: str) -> None:
    hint = hint_of((OUTPUTS / f"{output}.txt").read_text("utf-8"))
    assert hint is not None
    assert advice in hint
    assert hint[-1] in ".!"


@pytest.mark.parametrize(
    "output",
    ["cause", "exception_group", "keyboard_interrupt", "message_of_several_lines", "syntax_error"],
)
def test_other_failures_get_no_advice(output: str) -> None:
    assert hint_of((OUTPUTS / f"{output}.txt").read_text("utf-8")) is None


def test_no_exception_gives_no_advice() -> None:
    assert hint_for("ModuleNotFoundError: No module named 'torch'", None) is None


def traceback(line: str) -> str:
    return (
        'Traceback (most recent call last):\n  File "train.py", line 1, in <module>\n'
        f"    import x\n{line}\n"
    )


@pytest.mark.parametrize(
    ("module", "package"),
    [
        ("sklearn", "scikit-learn"),
        ("PIL", "pillow"),
        ("yaml", "PyYAML"),
        ("skimage", "scikit-image"),
        ("dotenv", "python-dotenv"),
        ("torch", "torch"),
    ],
)
def test_a_differently_named_package_is_suggested(module: str, package: str) -> None:
    hint = hint_of(traceback(f"ModuleNotFoundError: No module named '{module}'"))
    assert hint is not None
    assert f'"{package}"' in hint


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
        "ModuleNotFoundError: No module named '\x1b[31m; rm -rf /'",
        "ModuleNotFoundError: No module named '" + "x" * 5000 + "'",
    ],
)
def test_only_harmless_and_short_names_are_quoted(line: str) -> None:
    assert hint_of(traceback(line)) is None


def test_advice_is_bounded_whatever_is_printed() -> None:
    types = ", ".join(f"'{'a' * 199}{n}'" for n in range(1000))
    hint = hint_of(
        f"Untrusted types found in the file: [{types}]\n"
        + traceback("mlflow.exceptions.MlflowException: x references untrusted types")
    )
    assert hint is not None
    assert len(hint) < 4000
