"""The heatmap of a reading: by the model that read it, only where the card allows it."""

import asyncio
import errno
import io
import threading
from pathlib import Path

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from diagnosis.artifacts import Card, Registry, open_artifact
from diagnosis.contracts import Prediction
from diagnosis.errors import Overloaded, RegistryUnavailable
from inference_service.explaining import MOST_EARLIER, chosen_class
from inference_service.places import MOST_ASIDE
from tests.fixtures.artifacts import change_card, variant
from tests.fixtures.live_service import DISEASE, Live, Start
from tests.fixtures.predictions import make_prediction
from tests.inference_service.pictures import BRIGHT, DARK, png

SIDE = (120, 200)


def one_bright_corner() -> bytes:
    """Grey, and bright in the lower left: what the tiny model calls pneumonia is there."""
    pixels = np.full(SIDE, 120, np.uint8)
    pixels[80:, :60] = 255
    return png(pixels)


async def heatmap(live: Live, made: dict[str, str], **query: str) -> httpx.Response:
    return await live.client.get(f"/api/v1/predictions/{made['id']}/heatmap", params=query)


def picture(answer: httpx.Response) -> NDArray[np.uint8]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/png"
    return np.asarray(Image.open(io.BytesIO(answer.content)))


async def test_it_points_at_what_speaks_for_the_class(live: Live) -> None:
    made = (await live.read(one_bright_corner())).json()
    assert made["heatmap_classes"] == ["pneumonia"]
    answer = await heatmap(live, made, **{"class": "pneumonia"})
    painted = picture(answer)
    assert painted.shape == (*SIDE, 4)
    alpha = painted[..., 3].astype(float)
    # The model stretches brightness linearly, so grey is some evidence and the corner most.
    assert alpha[90:, :50].min() > alpha[:70].max()
    assert answer.headers["sightline-heatmap-class"] == "pneumonia"
    assert float(answer.headers["sightline-heatmap-maximum"]) > 0
    assert answer.headers.get_list("cache-control") == ["private, no-cache"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    text = (await live.client.get("/metrics")).text
    assert f'step_seconds_count{{disease="{DISEASE}",step="explain"}} 1.0' in text


async def test_it_is_the_same_again_and_a_browser_may_keep_it(live: Live) -> None:
    made = (await live.read(BRIGHT)).json()
    first = await heatmap(live, made)
    assert first.headers["sightline-heatmap-class"] == "pneumonia"
    tag = first.headers["etag"]
    address = f"/api/v1/predictions/{made['id']}/heatmap"
    again = await live.client.get(address, headers={"if-none-match": f'"other", {tag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert (await heatmap(live, made)).content == first.content
    other = (await live.read(DARK)).json()
    assert (await heatmap(live, other, **{"class": "pneumonia"})).headers["etag"] != tag
    assert (await live.client.delete(f"/api/v1/predictions/{made['id']}")).status_code == 204
    gone = await live.client.get(address, headers={"if-none-match": tag})
    assert (gone.status_code, gone.json()["code"]) == (404, "unknown-prediction")


async def test_a_class_that_did_not_pass_has_none(live: Live) -> None:
    made = (await live.read(DARK)).json()
    assert made["top"][0]["id"] == "normal"
    for query in ({}, {"class": "normal"}):
        refused = await heatmap(live, made, **query)
        assert (refused.status_code, refused.json()["code"]) == (404, "no-heatmap")
        assert "pneumonia" in refused.json()["remedy"]
    unknown = await heatmap(live, made, **{"class": "measles"})
    assert (unknown.status_code, unknown.json()["errors"][0]["field"]) == (422, "class")
    malformed = await heatmap(live, made, **{"class": "No class!"})
    assert (malformed.status_code, malformed.json()["errors"][0]["field"]) == (422, "class")


async def test_an_image_that_is_gone_has_none(live: Live) -> None:
    made = (await live.read(BRIGHT)).json()
    assert live.service.images.delete(made["image"]["digest"])
    refused = await heatmap(live, made)
    assert (refused.status_code, refused.json()["code"]) == (404, "not-found")
    assert "not kept any more" in refused.json()["detail"]


def test_which_class_the_answer_is_about() -> None:
    judged = make_prediction().model_copy(update={"heatmap_classes": ("pneumonia", "class_1")})
    assert chosen_class(judged, None) == "pneumonia"
    assert chosen_class(judged, "class_1") == "class_1"
    point = judged.operating_point
    assert point is not None
    negative = point.model_copy(update={"positive": False})
    other = judged.probabilities[1]
    changed = judged.model_copy(update={"operating_point": negative, "top": (other,)})
    assert chosen_class(changed, None) == other.id
    with pytest.raises(Exception, match="not judged"):
        chosen_class(make_prediction(top=None), None)


async def test_an_earlier_version_explains_its_own_readings(start: Start, tmp_path: Path) -> None:
    live = await start()
    by_two = (await live.read(BRIGHT)).json()
    expected = await heatmap(live, by_two)
    registry = live.service.registry

    async def version() -> str:
        return str((await live.read(BRIGHT)).json()["artifact"]["version"])

    async def one_is_live() -> bool:
        return await version() == "1"

    await asyncio.to_thread(registry.promote, DISEASE, "1")
    await live.until(one_is_live)
    by_one = (await live.read(BRIGHT)).json()
    # The model of version 1 is twice as steep, so that it cannot have been asked for this one.
    later = await heatmap(live, by_two)
    assert later.content == expected.content
    maximum = "sightline-heatmap-maximum"
    assert later.headers[maximum] == expected.headers[maximum]
    steeper = float((await heatmap(live, by_one)).headers[maximum])
    assert steeper == pytest.approx(2 * float(expected.headers[maximum]), rel=0.01)
    assert len(live.service.explainer._earlier) == 1
    await heatmap(live, by_two)
    assert len(live.service.explainer._earlier) == 1


@pytest.mark.parametrize(
    "failure", [RegistryUnavailable(), OSError(errno.EIO, "input/output error")], ids=repr
)
async def test_a_registry_that_does_not_answer_is_not_a_version_that_is_gone(
    live: Live, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    made = Prediction.model_validate((await live.read(BRIGHT)).json())
    artifact = made.artifact.model_copy(update={"digest": f"sha256:{'0' * 64}"})
    other = make_prediction().model_copy(
        update={"artifact": artifact, "image": made.image, "heatmap_classes": ("pneumonia",)}
    )
    await live.service.results.add(other)

    def away(disease: str, version: str) -> Path:
        raise failure

    monkeypatch.setattr(live.service.registry, "folder", away)
    answer = await heatmap(live, {"id": str(other.id)})
    assert (answer.status_code, answer.json()["code"]) == (503, "registry-unavailable")
    assert answer.headers["retry-after"]


async def test_a_version_that_is_gone_says_so(live: Live) -> None:
    made = Prediction.model_validate((await live.read(BRIGHT)).json())
    for reference in (
        {"version": "9", "digest": f"sha256:{'0' * 64}"},
        {"version": "1", "digest": f"sha256:{'0' * 64}"},
    ):
        artifact = made.artifact.model_copy(update=reference)
        other = make_prediction().model_copy(
            update={"artifact": artifact, "image": made.image, "heatmap_classes": ("pneumonia",)}
        )
        await live.service.results.add(other)
        refused = await heatmap(live, {"id": str(other.id)})
        assert (refused.status_code, refused.json()["code"]) == (409, "version-gone")
        assert "Send the image again" in refused.json()["remedy"]
    assert not live.service.explainer._earlier


async def test_few_earlier_models_stay_loaded(live: Live, artifacts: Path, tmp_path: Path) -> None:
    registry = Registry(Path(live.service.settings.registry))
    base = Prediction.model_validate((await live.read(BRIGHT)).json())
    for version in ("3", "4", "5"):
        registry.publish(variant(artifacts / DISEASE / "1", tmp_path / version, version=version))
    digest = open_artifact(registry.folder(DISEASE, "3")).digest
    explainer = live.service.explainer
    image = live.service.images.get(base.image.digest)
    assert image is not None
    loaded = []
    for version in ("3", "4", "3", "5", "3"):
        artifact = base.artifact.model_copy(update={"version": version, "digest": digest})
        asked = base.model_copy(update={"artifact": artifact})
        assert (await explainer.heatmap(asked, "pneumonia", image)).maximum > 0
        loaded.append([key[0] for key in explainer._earlier])
    # The one that was asked for longest ago goes.
    assert loaded[-2:] == [["3", "5"], ["5", "3"]]
    assert max(map(len, loaded)) == MOST_EARLIER


async def test_an_artifact_whose_card_names_another_node_is_refused(
    start: Start, artifacts: Path, tmp_path: Path
) -> None:
    models = tmp_path / "shipped"
    folder = variant(artifacts / DISEASE / "1", models / DISEASE / "1")

    def rename(card: Card) -> Card:
        assert card.explanation is not None
        wrong = card.explanation.model_copy(update={"node": "no such node"})
        return card.model_copy(update={"explanation": wrong})

    change_card(folder, rename)
    live = await start(models_dir=models)
    found = (await live.client.get(f"/api/v1/diseases/{DISEASE}")).json()
    assert found["status"] == "unavailable"


async def test_readings_come_first_and_heatmaps_one_at_a_time(start: Start) -> None:
    live = await start(threads=1, deadline_seconds=0.5)
    places = live.service.places
    order: list[str] = []
    go = threading.Event()

    def work(name: str) -> None:
        order.append(name)
        go.wait(5)

    with places.take():
        # The only thread belongs to a reading that is still being uploaded.
        first = asyncio.create_task(places.aside(lambda: work("first")))
        second = asyncio.create_task(places.aside(lambda: work("second")))
        await asyncio.sleep(0.05)
        assert order == []
    await live.until(lambda: order == ["first"])
    await asyncio.sleep(0.05)
    assert order == ["first"]
    go.set()
    await asyncio.gather(first, second)
    assert order == ["first", "second"]
    with places.take():
        waiting = [asyncio.create_task(places.aside(lambda: None)) for _ in range(MOST_ASIDE)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await places.aside(lambda: None)
        refused = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(one) for one in refused} == {Overloaded}
    # Nothing is left behind: the next one is done at once.
    assert await places.aside(lambda: 7) == 7
