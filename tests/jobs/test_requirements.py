"""Requirements: names by PEP 508, and none of pip's other doors."""

import pytest

from asgard_async.jobs.errors import InvalidSubmission
from asgard_async.jobs.requirements import parse_requirements


@pytest.mark.parametrize(
    "text",
    [
        "numpy",
        "scikit-learn>=1.5,<2",
        "uvicorn[standard]==0.30.0",
        "pywin32; sys_platform == 'win32'",
        " pandas ",
    ],
)
def test_names_with_versions_extras_and_markers(text: str) -> None:
    (requirement,) = parse_requirements([text])
    assert requirement.name in text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "-r /etc/passwd",
        "--index-url http://127.0.0.1/simple",
        "-e .",
        "# comment",
        "numpy # comment",
        "numpy\nscipy",
        "numpy\n-r /etc/passwd",
        "./package",
        "/etc/passwd",
        "..\\package",
        "name @ file:///etc/passwd",
        "name @ http://127.0.0.1/x.whl",
        "git+https://127.0.0.1/x",
        "${HOME}",
        "numpy==",
        "numpy;",
        "a\x00b",
    ],
)
def test_everything_else_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(InvalidSubmission) as caught:
        parse_requirements(["scipy", text])
    (message,) = caught.value.errors["requirements"]
    assert message.startswith("Entry 2 ")
    assert not text.strip() or text.strip() not in message


def test_every_bad_entry_is_told() -> None:
    with pytest.raises(InvalidSubmission) as caught:
        parse_requirements(["-e .", "numpy", "./x"])
    assert [message[:7] for message in caught.value.errors["requirements"]] == [
        "Entry 1",
        "Entry 3",
    ]
