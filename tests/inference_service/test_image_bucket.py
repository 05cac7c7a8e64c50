"""Images in a bucket: read, shown, deleted with their reading; the service says when it is away."""

import boto3

from tests.fixtures.live_service import DISEASE, Live, Start
from tests.inference_service.pictures import BRIGHT, DARK


def names(bucket: str) -> list[str]:
    found = boto3.client("s3").list_objects_v2(Bucket=bucket)
    return [one["Key"] for one in found.get("Contents", ())]


async def test_a_reading_keeps_its_image_in_the_bucket(start: Start, bucket: str) -> None:
    live = await start(image_bucket=f"s3://{bucket}/images")
    made = (await live.read(BRIGHT)).json()
    digest = made["image"]["digest"].removeprefix("sha256:")
    assert names(bucket) == [f"images/{digest}"]
    address = f"/api/v1/predictions/{made['id']}"
    shown = await live.client.get(f"{address}/image")
    assert shown.status_code == 200
    stored = boto3.client("s3").get_object(Bucket=bucket, Key=f"images/{digest}")
    assert shown.content == stored["Body"].read()
    assert (await live.client.delete(address)).status_code == 204
    assert names(bucket) == []
    folder = live.service.settings.image_dir
    assert not [path for path in folder.rglob("*") if path.is_file()]


async def test_without_the_bucket_no_reading_is_made(start: Start, bucket: str) -> None:
    live = await start(image_bucket=f"s3://{bucket}-not/images")
    answer = await live.read(DARK)
    assert (answer.status_code, answer.json()["code"]) == (503, "store-unavailable")
    assert (await live.client.get("/api/v1/predictions")).json()["items"] == []


async def test_files_of_a_batch_wait_in_the_bucket(start: Start, bucket: str) -> None:
    live = await start(image_bucket=f"s3://{bucket}/images")
    batch = (await live.client.post("/api/v1/batches", json={"disease": DISEASE})).json()
    await sent(live, batch["id"], BRIGHT)
    (waiting,) = names(bucket)
    assert waiting.startswith("images/spool/")


async def sent(live: Live, batch: str, data: bytes) -> None:
    answer = await live.client.put(
        f"/api/v1/batches/{batch}/files/1", data={"name": "a.png"}, files={"file": ("a.png", data)}
    )
    assert answer.status_code in (200, 201), answer.text
