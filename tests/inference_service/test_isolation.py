"""What serving loads, and what it must not do: no TensorFlow, no Keras, no word to the outside."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

#: Starts a service, makes a reading, and tells what was imported and whom it tried to reach.
SERVE = """
import asyncio, json, sys
reached = []
def watch(name, arguments):
    if name in ("socket.getaddrinfo", "socket.gethostbyname"):
        reached.append(str(arguments[0]))
    if name == "socket.connect" and not isinstance(arguments[1], (str, bytes)):
        reached.append(str(arguments[1]))
sys.addaudithook(watch)
from pathlib import Path
from tests.fixtures.live_service import running, settings_in
from tests.inference_service.pictures import BRIGHT
from diagnosis.audit import MemoryAudit
from diagnosis.results import MemoryResults

async def main():
    settings = settings_in(Path(sys.argv[1]), models_dir=Path(sys.argv[2]))
    async with running(settings, MemoryResults(), MemoryAudit()) as live:
        status = (await live.read(BRIGHT)).status_code
    loaded = sorted({name.partition(".")[0] for name in sys.modules if sys.modules[name]})
    print(json.dumps({"status": status, "loaded": loaded, "reached": reached}))
asyncio.run(main())
"""


def test_serving_loads_no_training_framework_and_reaches_nobody(
    tmp_path: Path, artifacts: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    ran = subprocess.run(
        [sys.executable, "-c", SERVE, str(tmp_path), str(artifacts)],
        cwd=ROOT,
        env={"HOME": str(home), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    said = json.loads(ran.stdout.splitlines()[-1])
    assert said["status"] == 201
    assert said["reached"] == []
    assert "openvino" in said["loaded"]
    assert {"keras", "tensorflow", "jax", "torch", "openvino_telemetry"}.isdisjoint(said["loaded"])
    assert list(home.rglob("*")) == []


def test_the_application_is_described_without_any_model_runtime() -> None:
    code = (
        "import sys, inference_service.app;"
        "assert {'openvino', 'keras', 'tensorflow'}.isdisjoint(sys.modules), 'a runtime'"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)
