"""Requirements that the service's own environment satisfies."""

import time

import aiohttp
import pytest
from packaging.requirements import Requirement

from asgard_async.environments.base import BaseEnvironment


@pytest.fixture(scope="module")
def base() -> BaseEnvironment:
    return BaseEnvironment()


@pytest.mark.parametrize(
    "text",
    [
        "aiohttp",
        "AioHTTP>=3",
        "scikit_learn",
        f"aiohttp=={aiohttp.__version__}",
        "no-such-package; sys_platform == 'win32'",
        "no-such-package; extra == 'x'",
        "marshmallow[no-such-extra]",
    ],
)
def test_installed_requirements_are_satisfied(base: BaseEnvironment, text: str) -> None:
    assert base.missing([Requirement(text)]) == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("no-such-package", "no-such-package (not installed)"),
        ("aiohttp<1", f"aiohttp<1 (installed: {aiohttp.__version__})"),
        ("no-such-package; python_version >= '3.11'", "not installed"),
        ("mlflow[genai]", "extra 'genai' needs"),
        (
            "aiohttp @ https://user:secret@host.example/x.whl",
            "aiohttp (from a direct reference)",
        ),
    ],
)
def test_missing_requirements_name_the_installed_version(
    base: BaseEnvironment, text: str, reason: str
) -> None:
    (problem,) = base.missing([Requirement("aiohttp"), Requirement(text)])
    assert reason in problem


def test_many_requirements_with_extras_take_little_work(base: BaseEnvironment) -> None:
    # of packages with many dependencies, and with extras that do not exist
    extras = ",".join(f"q{number}" for number in range(100))
    requirements = [Requirement(f"{name}[{extras}]") for name in ("mlflow", "pandas")] * 500
    start = time.process_time()
    assert base.missing(requirements) == []
    assert time.process_time() - start < 3
