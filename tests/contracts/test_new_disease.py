"""A disease is data: one catalogue file and one artifact, and the API and the pages have it."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from diagnosis.contracts import DiseaseView, Prediction
from diagnosis.identity import Role
from tests.fixtures.artifacts import rename_classes, variant
from tests.fixtures.identity import PUBLIC_KEY_FILE, Acting
from tests.fixtures.live_service import DISEASE, Live, Start
from tests.fixtures.stack import need_pages
from tests.inference_service.pictures import BRIGHT, DARK
from web_ui.app import create_app
from web_ui.settings import Settings

NEW = "rib_fracture"

CATALOGUE_FILE = f"""
id = "{NEW}"
order = 1
name = "Broken rib"
modality = "chest X-ray"
summary = "Tells whether a chest X-ray shows a broken rib."
intended_use = "A second look after an accident; nothing that a hospital has ever asked for."
suitable_image = "One frontal chest X-ray with all ribs in view."
maturity = "demonstration"
maturity_reason = "It was made up for a test and knows bright from dark."
finding = "fractured"
augmentations = ["rotate"]

[[classes]]
id = "intact"
name = "All ribs intact"
sentence = "Every rib can be followed from end to end."

[[classes]]
id = "fractured"
name = "Broken rib"
sentence = "The edge of at least one rib is interrupted."
"""


class House(NamedTuple):
    """A service that knows the new disease, and the pages in front of it."""

    live: Live
    pages: httpx.AsyncClient


@pytest.fixture
async def house(start: Start, artifacts: Path, tmp_path: Path) -> AsyncIterator[House]:
    """The new disease with a model, and a second one that has none yet."""
    need_pages()
    catalogue = tmp_path / "catalogue"
    catalogue.mkdir()
    (catalogue / f"{NEW}.toml").write_text(CATALOGUE_FILE)
    later = CATALOGUE_FILE.replace(NEW, "hip_fracture").replace("Broken rib", "Broken hip")
    (catalogue / "hip_fracture.toml").write_text(later.replace("order = 1", "order = 2"))
    shipped = tmp_path / "shipped"
    variant(artifacts / DISEASE / "1", shipped / NEW / "1", disease=NEW)
    rename_classes(shipped / NEW / "1", {"normal": "intact", "pneumonia": "fractured"})
    live = await start(catalogue_dir=catalogue, models_dir=shipped)
    settings = Settings(
        api_url="http://inference",
        identity_key_file=PUBLIC_KEY_FILE,
        identity_socket=tmp_path / "identity.sock",
    )
    pages = create_app(settings, transport=httpx.ASGITransport(live.app))
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(pages),
        base_url="http://sightline.test",
        auth=Acting(Role.CLINICIAN),
    ) as client:
        yield House(live, client)


async def test_the_api_answers_for_it(house: House) -> None:
    live = house.live
    view = DiseaseView.model_validate_json(
        (await live.client.get(f"/api/v1/diseases/{NEW}")).content
    )
    assert (view.status, view.name) == ("live", "Broken rib")
    for image, band in ((BRIGHT, "likely_positive"), (DARK, "likely_negative")):
        answer = await live.read(image, disease=NEW)
        assert answer.status_code == 201
        made = Prediction.model_validate_json(answer.content)
        assert [one.id for one in made.probabilities] == ["intact", "fractured"]
        assert made.band == band
        assert made.operating_point is not None
        assert made.operating_point.class_id == "fractured"
    listed = await live.client.get("/api/v1/predictions", params={"disease": NEW})
    assert len(listed.json()["items"]) == 2
    metrics = (await live.client.get("/metrics")).text
    assert f'sightline_model_live{{disease="{NEW}",version="1"}} 1.0' in metrics


async def test_the_pages_lead_to_it_and_show_its_reading(house: House) -> None:
    pages = house.pages
    start = (await pages.get("/")).text
    ready, _, waiting = start.partition("No model yet")
    assert f'href="/diseases/{NEW}"' in ready
    assert 'href="/diseases/hip_fracture"' in waiting
    form = (await pages.get(f"/diseases/{NEW}")).text
    assert "The edge of at least one rib is interrupted." in form
    assert 'type="file"' in form
    assert "No model is live for this yet" in (await pages.get("/diseases/hip_fracture")).text

    sent = await pages.post(f"/diseases/{NEW}/readings", files={"image": ("x", BRIGHT)})
    assert sent.status_code == 303, sent.text
    reading = (await pages.get(sent.headers["location"])).text
    assert "Likely positive: Broken rib</h1>" in reading
    assert "All ribs intact" in reading
    assert "neumonia" not in start + form + reading
    demo = form.partition('name="demo" value="')[2].partition('"')[0]
    shown = await pages.get(f"/demo/{NEW}/{demo}")
    assert shown.headers["content-type"] == "image/png"
    tried = await pages.post(f"/diseases/{NEW}/readings", data={"demo": demo}, files={"x": b""})
    assert tried.status_code == 303
    assert "Synthetic: shows no patient" in (await pages.get(tried.headers["location"])).text
    history = (await pages.get("/worklist", params={"disease": NEW, "class_id": "fractured"})).text
    assert sent.headers["location"] in history
