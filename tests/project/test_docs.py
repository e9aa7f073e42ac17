"""The documentation agrees with the code, where that can be compared."""

import re
import shlex
from enum import StrEnum
from pathlib import Path

import click
import pytest

from asgard_async.api.health import not_ready
from asgard_async.api.http.problem import STATUS_OF
from asgard_async.api.openapi.document import template_of
from asgard_async.api.routes import ROUTES
from asgard_async.api.schemas.job_in_full import JobInFullSchema
from asgard_async.api.schemas.submission import (
    ArchiveSubmissionSchema,
    ResourcesAskedSchema,
    SubmissionSchema,
    UploadFormSchema,
)
from asgard_async.cli.main import COMMANDS, main
from asgard_async.config import SECTIONS
from asgard_async.domain.status import ColdReason, Isolation, Phase, Reason, Start, Status
from asgard_async.domain.transitions import TRANSITIONS

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "asgard_async"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
FOR_DEVELOPERS = [
    *DECISIONS,
    *(ROOT / "docs" / name for name in ("architecture.md", "glossary.md")),
    ROOT / "CONTRIBUTING.md",
]

UPLOAD = "### POST /mlops/training/upload"
GET_JOB = "### GET /mlops/training/jobs/{job_id}"


def text_of(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def relative(document: Path) -> str:
    return str(document.relative_to(ROOT))


def test_the_diagram_shows_exactly_the_transitions() -> None:
    text = text_of("docs/decisions/003-job-phases.md")
    drawn = set(re.findall(r"^    (\w+) --> (\w+)", text, re.MULTILINE))
    assert drawn == {
        (source, target) for source, targets in TRANSITIONS.items() for target in targets
    }


def routes_in(text: str) -> set[str]:
    """Paths that a document names, with `…/x` read as below a job."""
    paths = re.findall(r"`?(/(?:mlops|health|metrics|openapi)[^\s`?|]*)", text)
    below = [f"/mlops/training/jobs/{{job_id}}/{name}" for name in re.findall(r"`…/(\w+)`", text)]
    return {path.replace("{id}", "{job_id}").rstrip(",.") for path in (*paths, *below)}


def test_every_route_is_documented_and_exists() -> None:
    exist = {template_of(route.path) for route in ROUTES}
    named = routes_in(text_of("docs/api.md"))
    assert exist - named == set()
    examples = {path for path in named if re.search(r"/jobs/[0-9a-f]{8}\b", path)}
    assert named - exist - examples == set()


def api_section(heading: str) -> str:
    """The text of docs/api.md below a heading, with its subsections."""
    level = heading.partition(" ")[0]
    text = text_of("docs/api.md").partition(f"\n{heading}\n")[2]
    assert text, f"docs/api.md has no heading {heading}"
    return re.split(rf"^#{{1,{len(level)}}} ", text, maxsplit=1, flags=re.MULTILINE)[0]


def words_in(text: str) -> set[str]:
    """The names in backticks, outside blocks of code."""
    return set(re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL)))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *(("status", Status), ("phase", Phase), ("reason", Reason), ("start", Start)),
        *(("cold_reason", ColdReason), ("isolation", Isolation)),
    ],
)
def test_every_value_of_a_field_is_documented(name: str, kind: type[StrEnum]) -> None:
    text = api_section(GET_JOB)
    (row,) = re.findall(rf"^\| [^|]*`{name}`[^|]* \| (.+) \|$", text, re.MULTILINE)
    assert {*kind} - words_in(row) == set()


def test_every_field_of_an_upload_is_documented() -> None:
    schemas = (SubmissionSchema, ArchiveSubmissionSchema, UploadFormSchema, ResourcesAskedSchema)
    fields = {name for schema in schemas for name in schema().fields}
    assert fields - words_in(api_section(UPLOAD)) == set()


def test_every_field_of_a_job_is_documented() -> None:
    assert JobInFullSchema().fields.keys() - words_in(api_section(GET_JOB)) == set()


def test_every_problem_type_is_documented_with_its_status() -> None:
    declared = {error.problem_type: status for error, status in STATUS_OF.items()}
    declared["not-ready"] = not_ready([]).status
    declared["service-stopped"] = 503  # sent by supervisor/shim/socket_holder.py
    rows = re.findall(r"^\| `([a-z-]+)` \| (\d+) \| .+ \|$", api_section("## Errors"), re.MULTILINE)
    assert sorted((name, int(status)) for name, status in rows) == sorted(declared.items())


def test_every_command_is_documented() -> None:
    names = {name for section in COMMANDS.values() for name in section}
    documented = {
        word.removeprefix("asgard ").split()[0] for word in words_in(text_of("docs/cli.md"))
    }
    assert names - documented == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=relative)
def test_links_between_documents_resolve(document: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text("utf-8")):
        assert (document.parent / target).exists(), target


def anchors_of(document: Path) -> set[str]:
    """The fragments that GitHub gives to headings."""
    headings = re.findall(r"^#+ (.+)", document.read_text("utf-8"), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("document", DOCUMENTS, ids=relative)
def test_links_lead_to_headings_that_exist(document: Path) -> None:
    text = document.read_text("utf-8")
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", text):
        linked = document.parent / target if target else document
        assert anchor in anchors_of(linked), f"{target}#{anchor}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=relative)
def test_configuration_named_in_documents_exists(document: Path) -> None:
    text = document.read_text("utf-8")
    named = re.findall(r"\[(\w+)\] (\w+)", text)
    named += [(a.lower(), b.lower()) for a, b in re.findall(r"ASGARD_([A-Z]+)__([A-Z_]+)", text)]
    known = {(name, key) for name, kind in SECTIONS.items() for key in kind.__annotations__}
    assert {(section, key) for section, key in named if section in SECTIONS} <= known


def test_decisions_are_numbered_and_indexed() -> None:
    assert [page.name[:3] for page in DECISIONS] == [
        f"{number:03}" for number in range(1, len(DECISIONS) + 1)
    ]
    index = re.findall(r"^- \[(\d+)\]\((.+?)\) (.+)$", text_of("docs/decisions/README.md"), re.M)
    assert sorted(index) == [
        (page.name[:3], page.name, page.read_text("utf-8").splitlines()[0].partition(": ")[2])
        for page in DECISIONS
    ]


@pytest.mark.parametrize("page", DECISIONS, ids=lambda path: path.name[:3])
def test_a_decision_has_its_three_parts_on_one_page(page: Path) -> None:
    text = page.read_text("utf-8")
    assert text.startswith(f"# {page.name[:3]}: ")
    assert re.findall(r"^## (.+)", text, re.M) == ["Context", "Decision", "Consequences"]
    assert len(text.split()) <= 500


def test_the_overview_is_short() -> None:
    assert len(text_of("docs/architecture.md").split()) <= 1_500


@pytest.mark.parametrize("document", FOR_DEVELOPERS, ids=relative)
def test_modules_that_documents_name_exist(document: Path) -> None:
    """Every path whose first part is a package or a directory of the repository."""
    roots = (ROOT, PACKAGE, PACKAGE / "supervisor")
    named = re.findall(r"`((?:[a-z_]+/)+(?:[a-z_0-9]+\.[a-z]+)?)`", document.read_text("utf-8"))
    beginnings = {path.name for root in roots for path in root.iterdir() if path.is_dir()}
    missing = [
        path
        for path in named
        if path.partition("/")[0] in beginnings
        if not any((root / path).exists() for root in roots)
    ]
    assert missing == []


def command_lines() -> list[str]:
    """Every call of `asgard` in code or consoles of the documents."""
    lines = []
    for document in DOCUMENTS:
        text = re.sub(r"\\\n *", "", document.read_text("utf-8"))
        lines += re.findall(r"(?:^\$ |\$\(|`)(?:[A-Z_]+=\S+ )*(asgard [^`\n]+)", text, re.MULTILINE)
    return sorted(set(lines))


@pytest.mark.parametrize("line", command_lines())
def test_commands_named_in_documents_exist(line: str) -> None:
    command: click.Command = main
    words = shlex.split(re.split(r"\)| \| |…", line)[0], comments=True)[1:]
    if "--" in words:
        words = words[: words.index("--")]  # the rest belongs to the script
    while words and isinstance(command, click.Group) and not words[0].startswith("-"):
        found = command.get_command(click.Context(command), words.pop(0))
        assert found is not None, line
        command = found
    known = {option for entry in command.params for option in entry.opts} | {"--help", "--version"}
    options = {word.partition("=")[0] for word in words if re.match("-[-a-z]", word)}
    assert options <= known, line


def test_make_targets_named_in_documents_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*## ", text_of("Makefile"), re.MULTILINE))
    for document in DOCUMENTS:
        named = set(
            re.findall(
                r"`make ([a-z-]+)`|^\$ make ([a-z-]+)", document.read_text("utf-8"), re.MULTILINE
            )
        )
        assert {first or second for first, second in named} <= targets
    assert {"help", "venv", "demo", "test", "test-unit", "lint", "types"} <= targets
