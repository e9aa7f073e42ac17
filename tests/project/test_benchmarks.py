"""The table of figures, its stored form and its page; `make bench` measures the figures."""

import argparse
from collections import Counter
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import compare_versions
from benchmarks.chart import chart
from benchmarks.figures import Row, Target, table
from benchmarks.names import names_among
from benchmarks.render import DOCUMENT, NOTES, PICTURE, document, notes_in, render
from benchmarks.stored import DOCUMENTED, Results, kept
from benchmarks.table import BENCHES, IDS
from benchmarks.targets import FURTHER_ROWS, ISSUE_TARGETS, TARGETS

ROOT = Path(__file__).parents[2]
ISSUE_5 = {
    "training": 0.16,
    "model": 0.3,
    "inferred": 0.8,
    "burst": 0.2,
    "cold": 1.05,
    "second-job-memory": 0.5,
    "hello": 120,
    "hello-ray": 1 / 30,
    "tiny": 12,
    "accepts": 300,
    "status": 0.5,
    "status-hanging": 15,
    "list": 1.5,
    "memory-idle": 75,
    "memory-10000": 1.2,
    "mlflow-ready": 0.7,
    "mlflow-memory": 0.6,
}
"""The targets of issue 5 at the time of writing."""

ROWS = (
    Row(
        id="list",
        what="a <page>",
        unit="ms",
        peer="among 100",
        asgard=[2, 3, 4],
        peer_values=[2, 4],
    ),
    Row(
        id="tiny",
        what="jobs",
        unit="jobs/s",
        peer="by hand",
        asgard=[15.0],
        peer_values=[60.0],
        more_is_better=True,
        target=Target(text="≥ 12 jobs/s", limit=12, of="median", at_least=True),
        remark="why & how",
        measured_at="2026-11-23T04:01:51+00:00",
        load=(0.5, 1.5),
    ),
    Row(id="tiny-tsp", what="jobs", unit="jobs/s", peer="tsp", asgard=[15.0], remark="no tsp here"),
)


def row(*, asgard: list[float], peer_values: list[float], **target: object) -> Row:
    return Row(
        id="list",
        what="",
        unit="s",
        peer="",
        asgard=asgard,
        peer_values=peer_values,
        target=Target(text="", **target) if target else None,  # type: ignore[arg-type]
    )


# --- which rows there are -----------------------------------------------------------------------


def test_every_figure_of_the_issue_is_a_row_with_its_limit() -> None:
    assert {row_id: target.limit for row_id, target in ISSUE_TARGETS.items()} == ISSUE_5
    assert set(ISSUE_5) | FURTHER_ROWS <= set(IDS)


def test_a_row_has_one_id_and_every_target_a_row() -> None:
    assert [row_id for row_id, times in Counter(IDS).items() if times > 1] == []
    assert set(TARGETS) <= set(IDS)


def test_notes_are_about_rows_that_exist() -> None:
    notes = notes_in(NOTES.read_text("utf-8"))
    assert {row_id for ids, _ in notes for row_id in ids} <= set(IDS)


def test_every_benchmark_can_be_run_by_its_name_alone() -> None:
    assert [name for name in BENCHES if not (ROOT / "benchmarks" / f"{name}.py").exists()] == []


def test_rows_are_chosen_by_id() -> None:
    rows_named = names_among(IDS, "row")
    assert rows_named("hello,status list") == {"hello", "status", "list"}
    with pytest.raises(argparse.ArgumentTypeError, match=r"unknown row: helo; choose from .*hello"):
        rows_named("hello helo")


# --- what a row says ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("judged", "reached"),
    [
        (row(asgard=[1.0, 5.0, 2.0], peer_values=[4.0]), None),
        (row(asgard=[1.0, 5.0, 2.0], peer_values=[4.0], limit=0.5), True),
        (row(asgard=[1.0, 5.0, 2.1], peer_values=[4.0], limit=0.5), False),
        (row(asgard=[2.0], peer_values=[4.0], limit=0.5, at_least=True), True),
        (row(asgard=[1.9], peer_values=[4.0], limit=0.5, at_least=True), False),
        (row(asgard=[110.0], peer_values=[], limit=120, of="median"), True),
        (row(asgard=[121.0], peer_values=[1.0], limit=120, of="median"), False),
        (row(asgard=[4.3], peer_values=[3.0, 4.0, 5.0], limit=1.05, or_within_spread=True), True),
        (row(asgard=[5.1], peer_values=[3.0, 4.0, 5.0], limit=1.05, or_within_spread=True), False),
        (row(asgard=[1.0], peer_values=[], limit=0.5), None),
    ],
)
def test_a_target_is_judged_by_medians(judged: Row, reached: bool | None) -> None:
    assert judged.reached is reached


def test_rates_are_inverted_to_costs() -> None:
    plain, rate, alone = ROWS
    assert (plain.ratio, plain.cost, plain.target_cost) == (1, 1, None)
    assert (rate.ratio, rate.cost, rate.target_cost) == (0.25, 4, 5)
    assert (alone.ratio, alone.cost, alone.target_cost) == (None, None, None)


def test_the_table_says_why_a_peer_is_missing() -> None:
    assert "no tsp here" in table(ROWS)


# --- stored and rendered ------------------------------------------------------------------------


def test_stored_rows_are_read_and_replaced(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "bench.json"
    kept(file, ROWS[:2], IDS).write(file)
    again = Row(id="list", what="later", unit="ms", peer="", asgard=[1])
    kept(file, [again], IDS).write(file)
    assert [one.as_json() for one in Results.read(file).rows] == [
        one.as_json() for one in (ROWS[1], again)
    ]


def test_a_page_is_rendered_from_stored_rows(tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    kept(file, [replace(one, load=(1, 2)) for one in ROWS], IDS).write(file)
    render(file, tmp_path)
    page = (tmp_path / DOCUMENT).read_text("utf-8")
    assert "| **15.0 jobs/s** (once) | by hand: **60.0 jobs/s** (once) | 0.25 | ≥ 12" in page
    assert "tsp: not measured" in page
    assert PICTURE in page
    assert (tmp_path / PICTURE).read_text("utf-8") == chart([ROWS[1], ROWS[2], ROWS[0]])


def test_the_chart_shows_every_peer_and_target() -> None:
    drawing = ElementTree.fromstring(chart(ROWS))  # noqa: S314 (its own picture)
    kinds = Counter(part.get("class") for part in drawing.iter())
    assert (kinds["plain"], kinds["reached"], kinds["missed"], kinds["target"]) == (1, 1, 0, 1)


def test_the_documented_run_has_every_figure_of_the_issue() -> None:
    measured = {one.id for one in Results.read(DOCUMENTED).rows if one.asgard}
    assert set(ISSUE_5) | FURTHER_ROWS <= measured


def test_the_documented_run_used_the_current_targets() -> None:
    for one in Results.read(DOCUMENTED).rows:
        assert one.target == TARGETS.get(one.id), one.id


def test_the_page_matches_the_documented_run(tmp_path: Path) -> None:
    """`python -m benchmarks.render` updates it."""
    render(DOCUMENTED, tmp_path)
    for name in (DOCUMENT, PICTURE):
        assert (ROOT / "docs" / name).read_text("utf-8") == (tmp_path / name).read_text("utf-8")
    assert document(Results.read(DOCUMENTED), "") != (ROOT / "docs" / DOCUMENT).read_text("utf-8")


# --- versions compared ----------------------------------------------------------------------------


def test_versions_are_compared_by_the_ratio_of_medians() -> None:
    figure = compare_versions.Figure(what="jobs", unit="jobs/s")
    figure.values.update(before=[9.0, 10.0, 30.0], after=[12.0, 5.0, 12.0])
    unmeasured = compare_versions.Figure(what="start", unit="s")
    text = compare_versions.table({"jobs": figure, "start": unmeasured})
    assert "10.0 jobs/s" in text
    assert "12.0 jobs/s   1.20" in text
    assert "start" not in text


def test_an_unknown_figure_of_a_version_is_refused() -> None:
    assert names_among(compare_versions.FIGURES, "figure")("start,jobs") == {"start", "jobs"}
    with pytest.raises(argparse.ArgumentTypeError, match="unknown figure: speed"):
        names_among(compare_versions.FIGURES, "figure")("speed")


def test_a_directory_without_asgard_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="is not a checkout"):
        compare_versions.Version(name="before", checkout=tmp_path).check()
