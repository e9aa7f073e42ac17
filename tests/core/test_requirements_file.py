"""Reading of requirements.txt files as editors and other tools write them."""

from pathlib import Path

import pytest

from asgard_async.core.requirements_file import (
    RequirementsFileError,
    decode_requirements,
    read_with_includes,
    requirement_lines,
)

TEXT = "scikit-learn\nmüller\n"


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-be-with-mark"]
)
def test_encodings_with_a_mark_and_utf_8_are_read(encoding: str) -> None:
    content = (
        b"\xfe\xff" + TEXT.encode("utf-16-be")
        if encoding == "utf-16-be-with-mark"
        else TEXT.encode(encoding)
    )
    assert decode_requirements(content) == TEXT


@pytest.mark.parametrize(
    "content", [TEXT.encode("latin-1"), "numpy".encode("utf-16-le"), b"\xff\xfen"]
)
def test_other_encodings_are_named_in_one_line(content: bytes) -> None:
    with pytest.raises(RequirementsFileError, match=r"UTF-8.*\.$") as caught:
        decode_requirements(content)
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("scikit-learn\t# models\npandas  # frames\n", [(1, "scikit-learn"), (2, "pandas")]),
        ("numpy\r\npandas\r\n", [(1, "numpy"), (2, "pandas")]),
        ("numpy>=1, \\\n  <3\n\npandas", [(1, "numpy>=1,   <3"), (4, "pandas")]),
        ("numpy \\\n# why\npandas \\", [(1, "numpy"), (3, "pandas")]),
        ("# not continued \\\nnumpy", [(2, "numpy")]),
        ("name@https://host/x#egg=1", [(1, "name@https://host/x#egg=1")]),
    ],
)
def test_comments_and_continued_lines_read_as_pip_does(
    text: str, expected: list[tuple[int, str]]
) -> None:
    assert [(line.number, line.text) for line in requirement_lines(text)] == expected


def test_variables_and_hashes_are_reported_without_their_values() -> None:
    with pytest.raises(RequirementsFileError) as caught:
        requirement_lines("numpy\n${SECRET}==1\n")
    assert caught.value.problems == ("Line 2 contains a variable; replace it by its value.",)
    with pytest.raises(RequirementsFileError, match=r"Line 1 has a hash .*2 other requirements;"):
        requirement_lines("a==1 \\\n --hash=sha256:aa\n" + "b==1 --hash=sha256:bb\n" * 2)


def test_included_files_are_read_relative_to_the_including_one(tmp_path: Path) -> None:
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements.txt").write_text("-r requirements/train.txt\npandas\n")
    (tmp_path / "requirements/train.txt").write_text("--requirement=base.txt\nxgboost\n")
    (tmp_path / "requirements/base.txt").write_bytes(TEXT.encode("utf-16"))
    found = read_with_includes(tmp_path / "requirements.txt")
    assert found == ["scikit-learn", "müller", "xgboost", "pandas"]


def test_a_file_that_includes_itself_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("-r b.txt")
    (tmp_path / "b.txt").write_text("-r ./a.txt")
    with pytest.raises(RequirementsFileError, match=r"a\.txt includes itself"):
        read_with_includes(tmp_path / "a.txt")


def test_a_missing_included_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("-r b.txt")
    with pytest.raises(RequirementsFileError, match=r"b\.txt: No such file"):
        read_with_includes(tmp_path / "a.txt")
