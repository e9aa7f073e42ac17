"""Attacks through the embedded MLflow, which reads and writes paths that jobs choose."""

import secrets
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.attack_scripts import PRELUDE
from tests.support.processes import processes_with
from tests.support.service import QUICK_TO_WARM, Service, running_service
from tests.support.service_users import IS_ROOT, launcher_for_ordinary_user

pytestmark = [pytest.mark.mlflow, pytest.mark.asyncio(loop_scope="module")]

START_SECONDS = 120
LED_ABOUT = """
import json, urllib.error, urllib.parse, urllib.request
base = os.environ["MLFLOW_TRACKING_URI"]
data_dir, place, canary = (os.environ[name] for name in ("DATA_DIR", "PLACE", "CANARY_REVERSED"))
canary = canary[::-1].encode()
def ask(address, body=None, **query):
    if query:
        address += "?" + urllib.parse.urlencode(query)
    request = urllib.request.Request(base + address, body)
    if body is not None:
        request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=60) as response:
        return response.read()
def post(path, **fields):
    return json.loads(ask("/api/2.0/mlflow/" + path, json.dumps(fields).encode()))
def run_in(location):
    name = "led-about-" + os.urandom(4).hex()
    experiment = post("experiments/create", name=name, artifact_location=location)["experiment_id"]
    return post("runs/create", experiment_id=experiment, start_time=1)["run"]["info"]["run_id"]
def read(run, path):
    text = ask("/get-artifact", run_uuid=run, path=path)
    print("read", path, len(text))
    if canary in text:
        print("BROKEN canary")
    return text
def try_to_write(run):
    # it may succeed, in a private /tmp
    try:
        ask("/ajax-api/2.0/mlflow/upload-artifact", b"planted", run_uuid=run, path="planted")
    except urllib.error.HTTPError as error:
        print("not written", error)
def lead(target):
    run = run_in(place)
    os.makedirs(f"{place}/{run}", exist_ok=True)
    os.symlink(target, f"{place}/{run}/artifacts")
    return run
# Files of the machine are only read, since all of this also runs without a sandbox.
for target, files in (
    (data_dir, ("asgard.db", "tokens.json", "service.lock", "mlflow-server/server.json")),
    (data_dir + "/mlflow", ("mlflow.db",)),
    (os.path.dirname(os.environ["CONFIG"]), ("asgard.toml",)),
    ("/proc/self", ("environ", "cmdline")),
    ("/proc/1", ("environ",)),
    ("/etc/ssh", ("ssh_host_rsa_key", "ssh_host_ed25519_key")),
):
    run = lead(target)
    for name in files:
        attack(f"reading {target}/{name}", lambda: read(run, name))
    if target.startswith(os.path.dirname(data_dir)):
        try_to_write(run)
for location in ("/proc/self", "file:///proc/self", data_dir, "file://" + data_dir):
    run = run_in(location)
    for name in ("environ", "../../environ", "asgard.db", "../../asgard.db"):
        attack(f"reading {location} {name}", lambda: read(run, name))
    try_to_write(run)
own = base + "/api/2.0/mlflow-artifacts/artifacts/of-a-job/" + os.urandom(4).hex()
request = urllib.request.Request(own, b"its own", method="PUT")
urllib.request.urlopen(request).close()
print("proxied", urllib.request.urlopen(own).read())
"""


@pytest_asyncio.fixture(
    scope="module", loop_scope="module", params=["root", "ordinary", "unconfined"]
)
async def target(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Service, str, Path, bool]]:
    if request.param == "root" and not IS_ROOT:
        pytest.skip("a service that is root: the tests are not run by root")
    canary = f"canary-{secrets.token_hex(16)}"
    folder = tmp_path_factory.mktemp("mlflow")
    data_dir, shared = folder / "service" / "data", folder / "service" / "shared"
    launcher = launcher_for_ordinary_user(data_dir) if request.param == "ordinary" else ()
    shared.mkdir(parents=True, exist_ok=True)
    shared.chmod(0o777)
    config = data_dir.parent / "asgard.toml"
    config.write_text(f'[mlflow]\nusername = ""\n# {canary}\n')
    is_confined = request.param != "unconfined"
    settings = {
        **QUICK_TO_WARM,
        "ASGARD_TRACKING__REFRESH_SECONDS": "1",
        "ASGARD_ISOLATION__LEVEL": "sandbox" if is_confined else "process",
        # a directory that jobs may write, besides their own
        "ASGARD_ISOLATION__READ_WRITE": f'["{shared}"]',
        "AWS_SECRET_ACCESS_KEY": canary,
    }
    async with running_service(
        data_dir, settings, launcher, arguments=["--config", str(config)]
    ) as service:
        await service.mlflow_uri()
        yield service, canary, shared, is_confined


@pytest.mark.parametrize("place", ["its own directory", "a shared directory"])
async def test_mlflow_follows_no_planted_links(
    target: tuple[Service, str, Path, bool], place: str
) -> None:
    service, canary, shared, is_confined = target
    script = PRELUDE.replace("import idna", "#") + (
        "os.environ['PLACE'] = os.getcwd() + '/planted'\n" if place.startswith("its") else ""
    )
    variables = {
        "DATA_DIR": str(service.data_dir),
        "PLACE": str(shared),
        "CANARY_REVERSED": canary[::-1],
        "CONFIG": str(service.data_dir.parent / "asgard.toml"),
    }
    job_id = await service.submit(script + LED_ABOUT, environment_vars=variables)
    job = await service.finished(job_id, within=START_SECONDS)
    assert "proxied b'its own'" in job["logs"], job["logs"]
    planted = [path for path in service.data_dir.rglob("planted") if "jobs" not in path.parts]
    if is_confined:
        assert "BROKEN" not in job["logs"], job["logs"]
        assert not planted
    else:
        # otherwise this test would prove nothing
        assert "BROKEN canary" in job["logs"], job["logs"]
        assert planted


async def test_mlflow_is_sandboxed(target: tuple[Service, str, Path, bool]) -> None:
    service, _, _, is_confined = target
    if not is_confined:
        pytest.skip("the level process has no sandbox")
    (pid,) = [
        pid
        for pid in processes_with(str(service.data_dir / "mlflow"))
        if b"server_program" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    root = Path(f"/proc/{pid}/root")
    seen = root / str(service.data_dir).lstrip("/")
    assert (seen / "mlflow" / "mlflow.db").exists()
    for name in ("asgard.db", "service.lock", "mlflow-server"):
        assert (service.data_dir / name).exists()
        assert not (seen / name).exists()
    assert not (root / "proc").exists()
    facts = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    assert int(facts["CapEff"], 16) == int(facts["CapBnd"], 16) == 0
    assert facts["NoNewPrivs"] == "1"
    assert facts["Uid"].split()[0] != "0"
    store = service.data_dir / "mlflow" / "mlflow.db"
    assert store.stat().st_uid == int(facts["Uid"].split()[0])
    assert stat.S_IMODE((service.data_dir / "mlflow").stat().st_mode) == 0o700
