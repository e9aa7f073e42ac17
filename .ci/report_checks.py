"""The 13 checks of tests/system/test_report_checks.py, against a service that is running."""

import os
import re
import sys

from commands import captured

CHECKS = "tests/system/test_report_checks.py"
HOW_MANY = 13


def run_report_checks(url: str) -> None:
    """Run them with this interpreter, which needs the test tools.

    Raises:
        SystemExit: with pytest's output, unless all of them ran and passed.
    """
    done = captured(
        *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--no-header", CHECKS),
        env=os.environ | {"ASGARD_E2E_URL": url, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    if done.returncode != 0 or not re.search(rf"= {HOW_MANY} passed in ", done.stdout):
        raise SystemExit(f"Not all of the {HOW_MANY} checks passed at {url}:\n{done.stdout}")
    print(done.stdout.rstrip().rpartition("\n")[2])
