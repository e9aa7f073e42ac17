"""Parsing of requirements: PEP 508 names, and none of pip's other kinds of input."""

import time

import pytest
from packaging.requirements import Requirement

from asgard_async.domain.errors import InvalidSubmission
from asgard_async.jobs.submit import requirements
from asgard_async.jobs.submit.requirements import MAX_REQUIREMENT, MAX_REQUIREMENTS


def parse_requirements(texts: list[str], *, direct_references: bool = False) -> list[Requirement]:
    return requirements.parse_requirements(texts, direct_references=direct_references)


def read_requirements_file(text: str, *, direct_references: bool = False) -> list[str]:
    content = text.encode()
    return requirements.read_requirements_file(content, direct_references=direct_references)


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
def test_versions_extras_and_markers_are_accepted(text: str) -> None:
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
        "numpy==1 --hash=sha256:abc",
        "numpy; os_name ~= 'posix'",
        "numpy; 'x' in extras",
        "numpy; " + "(" * 240 + "os_name=='x'" + ")" * 240,
    ],
)
def test_other_entries_are_rejected_without_quoting(text: str) -> None:
    with pytest.raises(InvalidSubmission) as caught:
        parse_requirements(["scipy", text])
    (message,) = caught.value.errors["requirements"]
    assert message.startswith("Entry 2 ")
    assert not text.strip() or text.strip() not in message


def test_every_invalid_entry_is_reported() -> None:
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


def test_every_invalid_line_of_a_file_is_numbered() -> None:
    with pytest.raises(InvalidSubmission) as caught:
        read_requirements_file("# x\nnumpy\n-r other.txt\n\n./wheel.whl\n")
    messages = caught.value.errors["requirements"]
    assert [message.split(" is ")[0] for message in messages] == ["Line 3", "Line 5"]


@pytest.mark.parametrize("line", ["${SECRET}==1", "-c x.txt", "--requirement=x.txt", "-e ."])
def test_options_and_includes_in_a_file_are_rejected(line: str) -> None:
    with pytest.raises(InvalidSubmission, match="errors") as caught:
        read_requirements_file(f"{line}\nnumpy")
    (message,) = caught.value.errors["requirements"]
    assert message.startswith("Line 1 ")
    assert "SECRET" not in message


def test_hashes_are_reported_once_with_advice() -> None:
    """The output of pip-compile: each requirement continues over several lines."""
    block = "numpy==2.0 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n    # via pandas\n"
    with pytest.raises(InvalidSubmission) as caught:
        read_requirements_file("# locked\n" + block * 200)
    (message,) = caught.value.errors["requirements"]
    assert message.startswith("Line 2 has a hash (--hash), and so do 199 other requirements")
    assert "without them" in message


def test_the_output_of_pip_freeze_is_accepted() -> None:
    frozen = [f"package{number}==1.{number}" for number in range(300)]
    assert read_requirements_file("\n".join(frozen) + "\n") == frozen


COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    "text",
    [
        "name @ https://host.example/name-1-py3-none-any.whl",
        "name @ https://user:secret@host.example/x.tar.gz#sha256=" + "0" * 64,
        "name[extra] @ git+https://host.example/x.git@main#subdirectory=a/b",
        f"name @ git+https://host.example/x@{COMMIT} ; python_version > '3'",
        "name @ file:///srv/wheels/name-1-py3-none-any.whl",
        "name@https://host.example/x%20y.whl",
    ],
)
def test_direct_references_are_accepted_where_allowed(text: str) -> None:
    (requirement,) = parse_requirements([text], direct_references=True)
    assert requirement.name == "name"
    assert read_requirements_file(f"{text}  # why\n", direct_references=True) == [text]
    with pytest.raises(InvalidSubmission):
        parse_requirements([text])


@pytest.mark.parametrize(
    "text",
    [
        "name @ http://host.example/x.whl",
        "name @ git+ssh://git@host.example/x",
        "name @ git+file:///srv/x",
        "name @ svn+https://host.example/x",
        "name @ https:///x.whl",
        "name @ https://host.example:port/x.whl",
        "name @ https://[host.example/x.whl",
        "name @ file://host.example/x.whl",
        "name @ file:x.whl",
        "name @ /srv/x.whl",
        "name @ ./x.whl",
        "name @ git+https://host.example/x@--upload-pack=touch",
        "name @ https://host.example/${HOME}/x.whl",
        "name @ https://host.example/x.whl\\",
        "name @ https://host.example/x.whl\n--index-url=http://127.0.0.1",
        "name @ https://host.example/x.whl\r-e.",
        "name @ https://host.example/é.whl",
        "-e git+https://host.example/x#egg=name",
        "git+https://host.example/x",
    ],
)
def test_references_to_other_hosts_are_rejected(text: str) -> None:
    with pytest.raises(InvalidSubmission) as caught:
        parse_requirements([text], direct_references=True)
    (message,) = caught.value.errors["requirements"]
    assert message.startswith("Entry 1 ")
    assert "host.example" not in message
    assert "srv" not in message


def test_a_json_list_in_one_entry_has_its_own_error() -> None:
    with pytest.raises(InvalidSubmission) as caught:
        parse_requirements(['["numpy"]'], direct_references=False)
    assert "repeat the field" in caught.value.errors["requirements"][0]


def test_a_marker_without_a_value_is_explained() -> None:
    with pytest.raises(InvalidSubmission) as caught:
        parse_requirements(["scipy", "numpy; python_version ~= 'x'"])
    (message,) = caught.value.errors["requirements"]
    assert message.startswith("Entry 2 has a marker that cannot be evaluated")


@pytest.mark.parametrize(
    "text",
    [
        "a\n" * (1 << 19),
        "!\n" * (1 << 19),
        "a\\\n" * 200_000,
        "${x}\n" * 200_000,
        "a" + ",".join([">1"] * 300_000),
        "a; " + " or ".join(["os_name=='x'"] * 60_000),
    ],
    ids=["lines", "invalid lines", "continued lines", "variables", "versions", "markers"],
)
def test_a_huge_requirements_file_takes_little_work(text: str) -> None:
    assert len(text) <= 1 << 20
    start = time.process_time()
    entries, messages = [], []
    try:
        entries = read_requirements_file(text)
    except InvalidSubmission as error:
        messages = error.errors["requirements"]
    assert sum(map(len, messages)) < 20_000
    # what is returned, the schema refuses
    assert messages or len(entries) > MAX_REQUIREMENTS or len(entries[0]) > MAX_REQUIREMENT
    assert time.process_time() - start < 3
