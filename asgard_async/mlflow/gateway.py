"""The gateway to MLflow: one method per REST request that Asgard makes."""

import copy
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Self, TypeVar

from asgard_async.mlflow import wire
from asgard_async.mlflow.connection import MlflowConnection
from asgard_async.mlflow.refusals import ResponseTooLarge
from asgard_async.mlflow.server.protection import OWNERS_PATH as OWNERS
from asgard_async.mlflow.server.protection import PATH as ACCOUNTS

PAGE_SIZE = 1000
LOGGED_MODELS_PAGE_SIZE = 50
JOBS_PER_REPORT = 50
MAX_PAGES = 200
MAX_LIST_BYTES = 32 << 20
"""Maximum size of a list that is kept in memory, as MLflow sends it."""

PageT = TypeVar("PageT", bound=wire.Page)


class MlflowGateway(MlflowConnection):
    """Asgard's requests to MLflow. Filters contain only ids issued by MLflow, never user input."""

    def for_owner(self, owner: str) -> Self:
        """Return a gateway with only the rights of an owner of jobs, for a few requests.

        What it creates belongs to the owner. MLflow servers other than Asgard's know no owners.
        """
        address = self.address.for_owner(owner)
        if address is self.address:
            return self
        gateway = copy.copy(self)
        gateway.move_to(address)
        return gateway

    # -- accounts --

    async def replace_accounts(self, document: Mapping[str, Any]) -> bool:
        """Send the tokens that Asgard's embedded server accepts, and who may read.

        Returns whether the server does not know the owners of earlier jobs.
        """
        state = await self.request("PUT", ACCOUNTS, wire.AccountsState, body=document)
        return state.owners_are_unknown

    async def add_owners(self, owners: Mapping[str, str], *, is_complete: bool) -> None:
        """Send owners of jobs to the embedded server, the last of them with `is_complete`."""
        body = {"owners": owners, "is_complete": is_complete}
        await self.request("PUT", OWNERS, wire.AccountsState, body=body)

    # -- experiments --

    async def experiment_named(self, name: str) -> wire.Experiment:
        """The experiment called `name`, deleted or not."""
        response = await self.request(
            "GET",
            "experiments/get-by-name",
            wire.ExperimentResponse,
            params={"experiment_name": name},
        )
        return response.experiment

    async def create_experiment(self, name: str) -> str:
        """Create an experiment and return its id."""
        response = await self.request(
            "POST", "experiments/create", wire.ExperimentCreated, body={"name": name}
        )
        return response.experiment_id

    async def active_experiment_ids(self) -> list[str]:
        """The ids of all experiments that are not deleted."""
        pages = self._pages(
            "POST",
            "experiments/search",
            wire.ExperimentsPage,
            {"max_results": PAGE_SIZE, "view_type": "ACTIVE_ONLY"},
        )
        return [experiment.experiment_id async for page in pages for experiment in page.experiments]

    # -- runs --

    async def get_run(self, run_id: str) -> wire.Run:
        """The run with this id, deleted or not."""
        response = await self.request(
            "GET", "runs/get", wire.RunResponse, params={"run_id": run_id}
        )
        return response.run

    async def search_runs(
        self, experiment_ids: Sequence[str], filter_text: str, *, max_results: int, page_token: str
    ) -> wire.RunsPage:
        """One page of the matching runs that are not deleted; empty without experiments."""
        body = {
            "experiment_ids": list(experiment_ids),
            "filter": filter_text,
            "max_results": max_results,
            "page_token": page_token,
        }
        return await self.request("POST", "runs/search", wire.RunsPage, body=body)

    async def end_run(self, run_id: str, status: str, end_time_ms: int) -> wire.RunInfo:
        """Set a run's final status and end time."""
        body = {"run_id": run_id, "status": status, "end_time": end_time_ms}
        response = await self.request("POST", "runs/update", wire.RunUpdated, body=body)
        return response.run_info

    async def written_runs(self, job_ids: Sequence[str]) -> list[wire.WrittenRun]:
        """The runs that these jobs wrote to and may not have created.

        Only Asgard's embedded server notes them.
        """
        runs: list[wire.WrittenRun] = []
        for first in range(0, len(job_ids), JOBS_PER_REPORT):
            params = {"job_ids": ",".join(job_ids[first : first + JOBS_PER_REPORT])}
            report = await self.request("GET", "/asgard/runs", wire.WrittenRuns, params=params)
            runs += report.runs
        return runs

    async def logged_models_of(
        self, run_id: str, experiment_id: str
    ) -> AsyncIterator[wire.LoggedModel]:
        """Yield the models that a run logged, newest first, in any state."""
        filter_text = f"source_run_id = '{run_id}'"
        async for model in self.logged_models([experiment_id], filter_text):
            yield model

    async def logged_models(
        self, experiment_ids: Sequence[str], filter_text: str
    ) -> AsyncIterator[wire.LoggedModel]:
        """Yield the matching models of these experiments, newest first, in any state."""
        body = {
            "experiment_ids": list(experiment_ids),
            "filter": filter_text,
            "order_by": [{"field_name": "creation_timestamp", "ascending": False}],
            "max_results": LOGGED_MODELS_PAGE_SIZE,
        }
        async for page in self._pages("POST", "logged-models/search", wire.LoggedModelsPage, body):
            for model in page.models:
                yield model

    async def list_artifacts(self, run_id: str, path: str = "") -> wire.ArtifactsPage:
        """The contents of a directory of a run's artifacts; empty if it does not exist."""
        params = {"run_id": run_id} | ({"path": path} if path else {})
        return await self.request("GET", "artifacts/list", wire.ArtifactsPage, params=params)

    # -- registry --

    async def create_registered_model(self, name: str) -> None:
        """Create a registered model without versions."""
        await self.request(
            "POST", "registered-models/create", wire.RegisteredModelResponse, body={"name": name}
        )

    async def registered_model(self, name: str) -> wire.RegisteredModel:
        """The registered model called `name`."""
        response = await self.request(
            "GET", "registered-models/get", wire.RegisteredModelResponse, params={"name": name}
        )
        return response.registered_model

    async def registered_models(self) -> list[wire.RegisteredModel]:
        """All registered models except prompts, with the newest version of each stage."""
        pages = self._pages(
            "GET",
            "registered-models/search",
            wire.RegisteredModelsPage,
            {"max_results": str(PAGE_SIZE)},
            is_kept=True,
        )
        return [model async for page in pages for model in page.registered_models]

    async def count_registered_models(self) -> int:
        """The number of registered models."""
        pages = self._pages(
            "GET",
            "registered-models/search",
            wire.RegisteredModelNames,
            {"max_results": str(PAGE_SIZE)},
        )
        return sum([len(page.registered_models) async for page in pages])

    async def search_model_versions(self, filter_text: str) -> list[wire.ModelVersion]:
        """The versions of all registered models that match a filter."""
        pages = self._pages(
            "GET",
            "model-versions/search",
            wire.ModelVersionsPage,
            {"filter": filter_text, "max_results": str(PAGE_SIZE)},
            is_kept=True,
        )
        return [version async for page in pages for version in page.model_versions]

    async def model_versions(
        self, filter_text: str, *, limit: int, page_token: str
    ) -> wire.ModelVersionsPage:
        """A page of the matching versions, newest first; a smaller one if they are large."""
        while True:
            params = {"filter": filter_text, "order_by": "version_number DESC"}
            params |= {"max_results": str(limit), "page_token": page_token}
            try:
                return await self.request(
                    "GET", "model-versions/search", wire.ModelVersionsPage, params=params
                )
            except ResponseTooLarge:
                if limit == 1:
                    raise
                limit = max(1, limit // 8)

    async def create_model_version(
        self,
        name: str,
        *,
        source: str,
        run_id: str,
        model_id: str | None,
        description: str,
        tags: Mapping[str, str],
    ) -> wire.ModelVersion:
        """Add a version to a registered model. Not idempotent: a repeated call adds another.

        `run_id` is empty for a model that was logged without a run.
        """
        body: dict[str, Any] = {
            "name": name,
            "source": source,
            "description": description,
            "tags": [{"key": key, "value": value} for key, value in tags.items()],
        }
        if run_id:
            body["run_id"] = run_id
        if model_id is not None:
            body["model_id"] = model_id
        response = await self.request(
            "POST", "model-versions/create", wire.ModelVersionResponse, body=body
        )
        return response.model_version

    async def _pages(
        self,
        method: str,
        path: str,
        kind: type[PageT],
        query: Mapping[str, Any],
        *,
        is_kept: bool = False,
    ) -> AsyncIterator[PageT]:
        """Yield all pages, smaller ones if a response is too large.

        Raises:
            ResponseTooLarge: there are too many pages, or a single item is too large.
        """
        token, size, total = "", int(query["max_results"]), 0
        for _ in range(MAX_PAGES):
            page_query = {**query, "max_results": size}
            if token:
                page_query["page_token"] = token
            try:
                if method == "GET":
                    params = {key: str(value) for key, value in page_query.items()}
                    page, length = await self._request(method, path, kind, params=params)
                else:
                    page, length = await self._request(method, path, kind, body=page_query)
            except ResponseTooLarge:
                if size == 1:
                    raise
                size = max(1, size // 8)  # the page token is an offset, valid for any page size
                continue
            total += length
            if is_kept and total > MAX_LIST_BYTES:
                raise ResponseTooLarge(f"MLflow's list exceeds {MAX_LIST_BYTES >> 20} MiB")
            yield page
            if not (token := page.next_page_token):
                return
        raise ResponseTooLarge(f"MLflow lists more than {MAX_PAGES} pages of results")
