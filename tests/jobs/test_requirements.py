"""Requirements: names by PEP 508, and none of pip's other doors."""

import pytest

from asgard_async.jobs.errors import InvalidSubmission
from asgard_async.jobs.requirements import parse_requirements, read_requirements_file


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


def test_a_file_may_have_comments_and_blank_lines() -> None:
    text = "# first\n\nnumpy>=1 # why\r\n\t pandas[excel]==2.0 ; python_version > '3' \n#last"
    assert read_requirements_file(text) == [
        "numpy>=1",
        "pandas[excel]==2.0 ; python_version > '3'",
    ]
    assert read_requirements_file("") == []


def test_every_wrong_line_of_a_file_is_told_by_its_number() -> None:
    with pytest.raises(InvalidSubmission) as caught:
        read_requirements_file("# x\nnumpy\n-r other.txt\n\n./wheel.whl\n")
    messages = caught.value.errors["requirements"]
    assert [message.split(" is ")[0] for message in messages] == ["Line 3", "Line 5"]


@pytest.mark.parametrize("line", ["numpy \\", "${SECRET}==1", "# comment \\", "-c x.txt"])
def test_what_pip_would_read_on_in_a_file_is_refused(line: str) -> None:
    with pytest.raises(InvalidSubmission, match="errors") as caught:
        read_requirements_file(f"{line}\nnumpy")
    (message,) = caught.value.errors["requirements"]
    assert message.startswith("Line 1 ")
    assert "SECRET" not in message
