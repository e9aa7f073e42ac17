"""The files of the plain executor's jobs."""

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from asgard_async.core.files.descent import open_below
from asgard_async.core.files.foreign_tree import (
    DEFAULT_BOUNDS,
    Bounds,
    Listing,
    OpenFile,
    Reader,
    list_tree,
    open_file,
    open_folder,
)
from asgard_async.core.timestamps import now
from asgard_async.domain.attempt import AttemptId
from asgard_async.executors.base import NoWorkingDirectory, RemovedFiles, SharedDirectory


class PlainFiles:
    """The `JobFiles` of attempts at `root`/<job_id>.<number> and logs at `root`/logs."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._removed: dict[str, RemovedFiles] = {}

    def job_ids(self) -> set[str]:
        names = {path.name.partition(".")[0] for path in self._root.glob("*.*") if path.is_dir()}
        return names | {path.stem for path in (self._root / "logs").iterdir()}

    def directory_bytes(self, job_id: str) -> int:
        return sum(_size(path) for path in self._root.glob(f"{job_id}.*/files/**/*"))

    def log_bytes(self, job_id: str) -> int:
        return sum(_size(path) for path in self._logs(job_id))

    def all_bytes(self, job_id: str) -> int:
        attempts = sum(_size(path) for path in self._root.glob(f"{job_id}.*/**/*"))
        return attempts + self.log_bytes(job_id)

    def paths(self, attempt: AttemptId) -> list[str] | None:
        files = self._root / f"{attempt.job_id}.{attempt.number}" / "files"
        paths = files.rglob("*")
        return [str(path.relative_to(files)) for path in paths if not path.is_dir()]

    def listing(
        self, attempt: AttemptId, folder: Sequence[str] = (), bounds: Bounds = DEFAULT_BOUNDS
    ) -> Listing:
        with self._opened(attempt) as directory:
            below = open_folder(directory, folder, Reader.oneself())
            try:
                return list_tree(below, Reader.oneself(), bounds)
            finally:
                os.close(below)

    def open_file(self, attempt: AttemptId, names: Sequence[str]) -> OpenFile:
        with self._opened(attempt) as directory:
            return open_file(directory, names, Reader.oneself())

    def removed_files(self, job_id: str) -> RemovedFiles | None:
        return self._removed.get(job_id)

    @contextlib.contextmanager
    def _opened(self, attempt: AttemptId) -> Iterator[int]:
        try:
            directory = open_below(str(self._root), f"{attempt.job_id}.{attempt.number}", "files")
        except OSError as error:
            raise NoWorkingDirectory(error.errno, error.strerror) from error
        try:
            yield directory
        finally:
            os.close(directory)

    def remove_directory(self, job_id: str, *, why: str) -> None:
        self._removed[job_id] = RemovedFiles(at=now(), why=why)
        for directory in self._root.glob(f"{job_id}.*/files"):
            shutil.rmtree(directory)

    def remove_log(self, job_id: str) -> None:
        for path in self._logs(job_id):
            path.unlink()

    def remove_all(self, job_id: str) -> None:
        for directory in self._root.glob(f"{job_id}.*"):
            shutil.rmtree(directory)
        self.remove_log(job_id)

    def environments(self) -> Mapping[str, SharedDirectory]:
        return {}

    def caches(self) -> Mapping[str, SharedDirectory]:
        return {}

    def sweep_caches(self) -> None:
        pass

    def _logs(self, job_id: str) -> list[Path]:
        return list((self._root / "logs").glob(f"{job_id}.txt"))


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
