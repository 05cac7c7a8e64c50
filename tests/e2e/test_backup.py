"""A backup of a running Sightline, and a Sightline that runs from it."""

import shutil
import tempfile
from pathlib import Path

import httpx
import pytest

from diagnosis.keys import read_public_key
from gateway.backup import back_up, restore
from gateway.chain_checks import verify
from gateway.stack import Places
from tests.fixtures.leftovers import end_leftovers
from tests.fixtures.stack import DISEASE, READER, Stack

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("stack")]


def test_a_restored_sightline_goes_on(stack: Stack, film: bytes, models_dir: Path) -> None:
    """The reading is there with its image, the same key opens it, and the audit trail is whole."""
    folder = Path(tempfile.mkdtemp(prefix="restored-"))
    other = Stack(folder / "run", models_dir)
    try:
        with stack.client() as client:
            made = client.post(
                f"/api/v1/diseases/{DISEASE}/predictions",
                files={"image": ("film", film)},
                data={"patient_reference": "somebody made up"},
            )
            assert made.status_code == 201, made.text
            address = f"/api/v1/predictions/{made.json()['id']}"
            image = client.get(f"{address}/image").content
        back_up(stack.places, folder / "backup.tar")
        restore(folder / "backup.tar", Places.under(folder / "run"))
        other.start()
        headers = {"Authorization": f"Bearer {stack.key(*READER)}"}
        with httpx.Client(
            base_url=other.url, headers=headers, timeout=30, trust_env=False
        ) as client:
            kept = client.get(address)
            assert kept.status_code == 200, kept.text
            assert kept.json() == made.json()
            assert client.get(f"{address}/image").content == image
            deleted = client.post(
                "/api/v1/patients/deletion", json={"patient_reference": "somebody made up"}
            )
            assert deleted.json()["readings"] >= 1, "the key of references came along"
        other.stop()
        key = read_public_key(other.places.identity_public_key)
        assert verify(other.places.audit, [key]).findings == []
        trail = "".join(path.read_text() for path in other.places.audit.glob("audit-*.jsonl"))
        assert "events-lost" not in trail
    finally:
        left = end_leftovers(folder)
        shutil.rmtree(folder)
    assert left == []
