"""The records of a job: derived values, and the digest that identifies equal submissions."""

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest
from packaging.requirements import Requirement

from asgard_async.domain.job import (
    FIRST_FIELDS,
    HistoryEntry,
    Job,
    JobSpec,
    Outcome,
    Started,
    seconds_per_phase,
)
from asgard_async.domain.status import Phase, Reason, Status
from asgard_async.domain.transitions import status_in

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

SPEC = JobSpec(
    script_name="train.py",
    experiment_name="e",
    model_name="m",
    script_sha256="0" * 64,
    requirements=("numpy", "scikit-learn"),
    environment_vars={"A": "1", "B": "2"},
    timeout=300,
    tags={"team": "x", "path": "/data/in"},
)


def outcome(reason: Reason = Reason.SUCCEEDED, *, ended_at: datetime = NOON) -> Outcome:
    return Outcome(reason=reason, exit_code=0, ended_at=ended_at)


def job(phase: Phase = Phase.QUEUED, **fields: object) -> Job:
    template = Job(seq=1, job_id="0badcafe", spec=SPEC, phase=phase, created_at=NOON)
    return dataclasses.replace(template, **fields)  # type: ignore[arg-type]  # any field


def another(value: object) -> object:
    """A different value, of the same type if that is known."""
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case str():
            return f"{value}x"
        case tuple():
            return value[:1] if value else ("x",)
        case dict():
            return {} if value else {"x": "y"}
        case _:
            return 1.5


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(JobSpec)])
def test_changing_any_field_changes_the_digest(name: str) -> None:
    change: dict[str, object] = {name: another(getattr(SPEC, name))}
    assert dataclasses.replace(SPEC, **change).digest() != SPEC.digest()  # type: ignore[arg-type]


def test_the_order_of_requirements_counts() -> None:
    assert dataclasses.replace(SPEC, requirements=SPEC.requirements[::-1]).digest() != SPEC.digest()


def test_equal_values_have_the_same_digest() -> None:
    rewritten = dataclasses.replace(
        SPEC,
        environment_vars={"B": "2", "A": "1"},
        tags={"path": "/data/in", "team": "x"},
    )
    assert rewritten.digest() == SPEC.digest()


PLAIN = JobSpec(
    script_name="train.py",
    experiment_name="e",
    model_name="m",
    script_sha256="0" * 64,
    timeout=300,
)
DIGESTS: list[tuple[dict[str, object], str]] = [
    ({}, "3e97dc5ac64795083cf5a683fb7ab27da92ceb9ec2efb317f113c4d9cb42ef4d"),
    (
        {
            "requirements": ("numpy", "scikit-learn"),
            "environment_vars": {"B": "2", "A": "1"},
            "tags": {"team": "x", "path": "/data/in"},
        },
        "9e0305edf3db4287da472753f5410dc53568b3d52cfd0976d5c9767a72dde8cf",
    ),
    (
        {"entrypoint": "src/train.py", "script_name": "project.tar.gz"},
        "e463e0effcf9099bff65db8bb0d85bb451bb6ff1e9dbf5b0154c3522adf30ec4",
    ),
    ({"memory_mb": 512}, "3eabbb4186fe604d8a6c1d518ee09b8ab491e65a74f607c36d2eabef6d07d6d7"),
    ({"cpus": 1.5}, "9339ba6e7c9c2f727c3924b091949849f43cefcb545cf1b65057afa27beae4f4"),
    ({"cpus": 2.0}, "deb8627537215de5450d2339a8ef4b2412481989a3bf944d46229924c965b20f"),
    (
        {"cpus": 1 / 3, "memory_mb": 4096},
        "c631e29ed4dbc7a1ca027e36d856e51f46e93d35ecad6d3bdc19949625bd6427",
    ),
    (
        {"warm": False, "priority": -100},
        "cc21704c3583ebb50171f73e9750b2cf370dcd96e087cc906f7496dbe0a815cb",
    ),
    (
        {"experiment_name": "Ünïcode \U0001f40d \x7f", "tags": {"k": '\n"\\'}},
        "afcdedca0a230b19d55302beb7611715050b09eed9ce359c3cc267e9d9c8c55c",
    ),
]
"""Made by the code before specifications were stored as JSON."""


@pytest.mark.parametrize(("change", "digest"), DIGESTS, ids=[str(n) for n in range(len(DIGESTS))])
def test_digests_never_change(change: dict[str, object], digest: str) -> None:
    """Idempotency keys in databases refer to them."""
    assert dataclasses.replace(PLAIN, **change).digest() == digest  # type: ignore[arg-type]


def test_fields_added_later_are_optional() -> None:
    """Rows and digests from before a field must stay valid."""
    for field in dataclasses.fields(JobSpec):
        has_default = (
            field.default is not dataclasses.MISSING
            or field.default_factory is not dataclasses.MISSING
        )
        assert has_default or field.name in FIRST_FIELDS, field.name


def test_an_added_field_at_its_default_keeps_the_digest() -> None:
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class LaterSpec(JobSpec):
        description: str = ""
        datasets: dict[str, str] = dataclasses.field(default_factory=dict)

    fields = {field.name: getattr(SPEC, field.name) for field in dataclasses.fields(SPEC)}
    assert LaterSpec(**fields).digest() == SPEC.digest()
    digests = {
        LaterSpec(**fields, description="x").digest(),
        LaterSpec(**fields, datasets={"a": "b"}).digest(),
    }
    assert len(digests | {SPEC.digest()}) == 3


def test_a_specification_accepts_any_text() -> None:
    odd = dataclasses.replace(SPEC, experiment_name="Ünïcode \U0001f40d \x7f", tags={"k": "\n"})
    assert len(odd.digest()) == 64


def test_a_specification_accepts_only_plain_values() -> None:
    wrong = dataclasses.replace(SPEC, tags={"k": object()})  # type: ignore[dict-item]  # tried
    with pytest.raises(TypeError, match="object cannot be part of a specification"):
        wrong.digest()


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.FINISHED])
def test_the_status_of_an_open_job_follows_its_phase(phase: Phase) -> None:
    assert job(phase).status is status_in(phase)
    assert job(phase).final_outcome is None


def test_an_outcome_is_not_final_while_mlflow_is_queried() -> None:
    recording = job(Phase.RECORDING, outcome=outcome())
    assert recording.status is Status.RUNNING
    assert recording.final_outcome is None


@pytest.mark.parametrize("reason", Reason)
def test_a_finished_job_shows_its_outcome(reason: Reason) -> None:
    finished = job(Phase.FINISHED, outcome=outcome(reason))
    assert finished.status is reason.status
    assert finished.final_outcome == outcome(reason)


def test_the_duration_is_that_of_the_script() -> None:
    started = NOON + timedelta(seconds=40)
    ended = outcome(ended_at=NOON + timedelta(seconds=42.5))
    assert job(Phase.FINISHED, started=Started(at=started), outcome=ended).duration_seconds == 2.5


def test_a_job_that_never_started_or_still_runs_has_no_duration() -> None:
    assert job().duration_seconds is None
    assert job(Phase.RUNNING, started=Started(at=NOON)).duration_seconds is None
    assert job(Phase.FINISHED, outcome=outcome(Reason.CANCELLED)).duration_seconds is None


def test_a_clock_set_back_gives_no_negative_duration() -> None:
    earlier = outcome(ended_at=NOON - timedelta(seconds=5))
    assert job(Phase.FINISHED, started=Started(at=NOON), outcome=earlier).duration_seconds == 0


def history(*moves: tuple[Phase, float]) -> list[HistoryEntry]:
    return [
        HistoryEntry(status=Status.RUNNING, phase=phase, at=NOON + timedelta(seconds=seconds))
        for phase, seconds in moves
    ]


def test_seconds_are_counted_per_phase() -> None:
    moves = history(
        (Phase.QUEUED, 0),
        (Phase.STARTING, 3),
        (Phase.RUNNING, 3.5),
        (Phase.RECORDING, 10),
        (Phase.FINISHED, 10.25),
    )
    assert seconds_per_phase(moves, NOON + timedelta(days=1)) == {
        "queued": 3,
        "starting": 0.5,
        "running": 6.5,
        "recording": 0.25,
    }


def test_the_current_phase_counts_up_to_now() -> None:
    moves = history((Phase.QUEUED, 0), (Phase.RUNNING, 2))
    assert seconds_per_phase(moves, NOON + timedelta(seconds=7)) == {"queued": 2, "running": 5}


def test_a_phase_entered_twice_adds_up() -> None:
    moves = history((Phase.QUEUED, 0), (Phase.RUNNING, 1), (Phase.QUEUED, 4), (Phase.RUNNING, 6))
    timings = seconds_per_phase(moves, NOON + timedelta(seconds=10))
    assert timings == {"queued": 3, "running": 7}
    assert list(timings) == ["queued", "running"]


def test_a_job_without_history_spent_no_time() -> None:
    assert seconds_per_phase([], NOON) == {}


def test_a_clock_set_back_gives_no_negative_phase() -> None:
    moves = history((Phase.QUEUED, 5), (Phase.RUNNING, 0))
    assert seconds_per_phase(moves, NOON)["queued"] == 0


def test_records_are_immutable() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        job().phase = Phase.RUNNING  # type: ignore[misc]  # that is what is tried


@pytest.mark.parametrize(
    ("name", "entrypoint", "is_notebook"),
    [
        ("train.py", None, False),
        ("train.ipynb", None, True),
        ("Train.IPYNB", None, True),
        ("a.zip", "src/train.ipynb", True),
        ("train.ipynb.zip", "train.py", False),
    ],
)
def test_a_notebook_needs_the_packages_that_run_it(
    name: str, entrypoint: str | None, *, is_notebook: bool
) -> None:
    spec = dataclasses.replace(
        SPEC, script_name=name, entrypoint=entrypoint, requirements=("numpy",)
    )
    assert spec.is_notebook is is_notebook
    packages = {Requirement(text).name for text in spec.needed_requirements}
    assert packages == {"numpy"} | ({"ipykernel", "nbclient"} if is_notebook else set())
