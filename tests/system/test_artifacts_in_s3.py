"""Embedded MLflow with artifacts in S3: MLflow has the credentials, and jobs do not."""

from pathlib import Path

from tests.support.eventually import eventually
from tests.support.model_job import (
    LOGS_A_MODEL,
    all_output,
    processes_with,
    warned,
    warnings_of,
)
from tests.support.s3_server import ACCESS_KEY, SECRET_KEY, S3Server
from tests.support.service import QUICK_TO_WARM, running_service


async def test_the_model_is_in_the_bucket_without_credentials(
    tmp_path: Path, s3_server: S3Server
) -> None:
    go = tmp_path / "go"
    settings = {
        **QUICK_TO_WARM,
        **s3_server.variables,
        "ASGARD_MLFLOW__ARTIFACTS_DESTINATION": "s3://embedded/below/here",
        "ASGARD_TRACKING__SETTLE_SECONDS": "60",
    }
    async with running_service(tmp_path / "data", settings) as service:
        # a faulty store is reported before a training needs it
        assert "bucket does not exist" in await warned(service, "Artifacts cannot be stored")
        s3_server.make_bucket("embedded")

        job_id = await service.submit(LOGS_A_MODEL.format(go=str(go)), model_name="in-s3")
        await service.says(job_id, "variables:")
        shown = [processes_with(secret) for secret in (SECRET_KEY, ACCESS_KEY)]
        go.touch()
        job = await service.finished(job_id, within=240)
        output = await all_output(service, job_id)
        output += (service.data_dir / "mlflow-server" / "mlflow.log").read_text()

        async def no_warning() -> bool:
            return not any("Artifacts" in one for one in await warnings_of(service))

        await eventually(no_warning, what="the store is available")

    assert job["status"] == "completed", job["logs"]
    assert "loaded, it says 1" in job["logs"]
    assert (job["model_version"], job["run_id"] is None) == ("1", False)
    files = s3_server.files("embedded", "below/here")
    assert [key for key in files if key.endswith("/artifacts/MLmodel")]
    assert any(files[key] for key in files if "model.skops" in key)
    assert not (tmp_path / "data" / "mlflow" / "artifacts").exists()

    variables = job["logs"].partition("variables:")[2].splitlines()[0].split()
    assert [name for name in variables if "AWS" in name or "S3" in name] == []
    assert SECRET_KEY not in output
    assert ACCESS_KEY not in output
    for in_arguments, in_environment in shown:
        assert in_arguments == []
        own = [line for line in in_environment if str(tmp_path) in line or "server_program" in line]
        assert len(own) == 2, own  # the service and MLflow, but no keeper, shim or script
