"""Generated archives and file names: accepted or rejected, without files outside or left behind."""

import io
import stat
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from tests.api.http.test_multipart import END, MULTIPART, part
from tests.support.archives import TIGHT
from tests.support.fuzz_effort import Search
from tests.support.fuzz_live import LiveService, live_service
from tests.support.generated_archives import Archive, archives, names
from tests.support.upload_forms import NAMES

JOBS = "/mlops/training/jobs"
SETTINGS = {
    "ASGARD_JOBS__MAX_ARCHIVE_MEMBERS": str(TIGHT["max_members"]),
    "ASGARD_JOBS__MAX_UNPACKED_BYTES": str(TIGHT["max_unpacked_bytes"]),
    "ASGARD_WARM__ENABLED": "false",
}

entrypoints = st.one_of(st.just("train.py"), st.just("train.py"), names)
file_names = st.one_of(st.just("project"), st.just("project"), names)


def test_archives_are_accepted_whole_or_leave_nothing(tmp_path: Path) -> None:
    search = Search("archives")
    with live_service(tmp_path / "data", SETTINGS) as live:
        # then the files exist that the service creates with its first job
        first = live.run(live.service.submit("pass"))
        live.run(live.service.finished(first))
        own = files_of_the_service(live, first)
        live.run(live.service.request("DELETE", f"{JOBS}/{first}"))
        before = everything_but_jobs(tmp_path)

        def send(archive: Archive, entrypoint: str, file_name: str) -> None:
            search.count("archives")
            data = form_of(file_name + archive.suffix, archive.content, entrypoint)
            status, answer = live.run(upload(live, data))
            assert status == 202 or 400 <= status < 500, (status, answer)
            assert str(tmp_path) not in str(answer)
            if status == 202:
                search.count("jobs")
                job_id = answer["job_id"]
                run(live, job_id)
                assert files_of_the_service(live, job_id) == own
                made = everything_but_jobs(tmp_path) - before
                assert {Path(name).parent.name for name in made} <= {"archives"}, made
                assert len(made) == 1, made
                assert live.run(live.service.request("DELETE", f"{JOBS}/{job_id}"))[0] == 204
            assert everything_but_jobs(tmp_path) == before
            assert not list((live.service.data_dir / "jobs").iterdir())

        search.examples(
            send, short=40, archive=archives(), entrypoint=entrypoints, file_name=file_names
        )
        live.service.assert_unharmed()


def form_of(file_name: str, archive: bytes, entrypoint: str) -> bytes:
    """A form with verbatim names, as no library would write it."""
    fields = {**NAMES, "entrypoint": entrypoint}
    return b"".join(
        [
            *(part(f'form-data; name="{name}"', text.encode()) for name, text in fields.items()),
            part(f'form-data; name="archive"; filename="{file_name}"', archive),
            END,
        ]
    )


async def upload(live: LiveService, body: bytes) -> tuple[int, Any]:
    data = io.BytesIO(body)
    return await live.service.post("/mlops/training/upload", data=data, headers=MULTIPART)


def run(live: LiveService, job_id: str) -> None:
    """Check that an accepted archive unpacks to files and directories inside and runs."""
    done = live.run(live.service.finished(job_id))
    assert (done["reason"], done["logs"]) == ("succeeded", "trained\n"), done
    work = live.service.data_dir / "jobs" / job_id / "attempts" / "1" / "work"
    for path in work.rglob("*"):
        mode = path.lstat().st_mode
        assert stat.S_ISREG(mode) or stat.S_ISDIR(mode), path
        assert mode & 0o7077 == 0, path


def files_of_the_service(live: LiveService, job_id: str) -> set[str]:
    """Files outside the directory that the archive was unpacked in."""
    job = live.service.data_dir / "jobs" / job_id
    work = job / "attempts" / "1" / "work"
    return {str(path.relative_to(job)) for path in job.rglob("*") if work not in path.parents}


def everything_but_jobs(tmp_path: Path) -> set[str]:
    """Every path below, except the job's own directories and SQLite's auxiliary files."""
    jobs = tmp_path / "data" / "jobs"
    return {
        str(path)
        for path in tmp_path.rglob("*")
        if jobs not in path.parents and not path.name.startswith("asgard.db")
    }
