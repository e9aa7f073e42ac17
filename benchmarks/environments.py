"""The phase `environment` of the example trainings: built, and found again.

    python -m benchmarks.environments

From an empty cache, beside the same job with the environment in it; models logged and registered.
"""

import asyncio
import tempfile
from pathlib import Path

from benchmarks.figures import line
from tests.service import Service, running_service

TRAININGS = Path(__file__).parent.parent / "examples" / "trainings"
EXAMPLES = {
    "random_forest.py": ["scikit-learn", "numpy"],
    "lightgbm_classifier.py": ["lightgbm"],
    "xgboost_classifier.py": ["xgboost"],
}


async def environment_seconds(service: Service, script: str, requirements: list[str]) -> float:
    """Run an example to its end; the seconds that it waited for its environment."""
    job_id = await service.submit(
        (TRAININGS / script).read_text(), requirements=requirements, model_name=script[:-3]
    )
    job = await service.finished(job_id, within=600)
    assert (job["status"], bool(job["model_version"])) == ("completed", True), job
    seconds: float = job["timings"].get("environment", 0.0)
    return seconds


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        settings = {"ASGARD_TRACKING__SETTLE_SECONDS": "60"}
        async with running_service(Path(folder) / "data", settings) as service:
            print("Seconds in phase environment (0: the service's own environment does):")
            for script, requirements in EXAMPLES.items():
                built = await environment_seconds(service, script, requirements)
                found = await environment_seconds(service, script, requirements)
                ratio = f"   ratio {built / found:.0f}" if found else ""
                line(
                    f"{script} {requirements}",
                    f"built {built:6.2f} s   found {found * 1000:5.1f} ms{ratio}",
                )


if __name__ == "__main__":
    asyncio.run(main())
