"""The API keeps to its description, whatever is sent to it."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import Case
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance

import tests.fixtures.describing  # noqa: F401
from diagnosis import errors
from diagnosis.audit import MemoryAudit
from diagnosis.errors import SightlineError
from diagnosis.identity import Role
from diagnosis.queue import MemoryQueue
from diagnosis.results import MemoryResults
from inference_service.app import create_app
from tests.fixtures.decoders import shared_nursery
from tests.fixtures.identity import Acting, signed
from tests.fixtures.live_service import settings_in
from tests.fixtures.serving import served
from tests.inference_service.pictures import BRIGHT


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, artifacts: Path) -> Iterator[httpx.Client]:
    """A client of a service on a port of its own, with a reading in it."""
    folder = tmp_path_factory.mktemp("contracts")
    results = MemoryResults()
    app = create_app(
        settings_in(folder, models_dir=artifacts),
        results=results,
        queue=MemoryQueue(results),
        audit=MemoryAudit(),
        nursery=shared_nursery(),
    )
    with (
        served(app) as address,
        httpx.Client(base_url=address, auth=Acting(*Role, via="key")) as client,
    ):
        until = time.monotonic() + 20
        while client.get("/readyz").status_code != 200 and time.monotonic() < until:
            time.sleep(0.05)
        made = client.post(
            "/api/v1/diseases/chest_xray_pneumonia/predictions", files={"image": BRIGHT}
        )
        assert made.status_code == 201
        yield client


@pytest.fixture(scope="module")
def api_schema(client: httpx.Client) -> Any:
    address = str(client.base_url.join("/api/v1/openapi.json"))
    return schemathesis.openapi.from_url(address, headers=signed(*Role, via="key"))


OPERATIONS = (
    "GET /api/v1/diseases",
    "GET /api/v1/diseases/{disease}",
    "GET /api/v1/diseases/{disease}/card",
    "GET /api/v1/diseases/{disease}/demo-images/{name}",
    "GET /api/v1/diseases/{disease}/portable",
    "GET /api/v1/diseases/{disease}/portable/{version}/{name}",
    "POST /api/v1/diseases/{disease}/predictions",
    "GET /api/v1/diseases/{disease}/versions",
    "GET /api/v1/diseases/{disease}/versions/{version}/card",
    "POST /api/v1/diseases/{disease}/versions/{version}/promotion",
    "POST /api/v1/diseases/{disease}/rollback",
    "POST /api/v1/diseases/{disease}/versions/{version}/lift",
    "POST /api/v1/examinations/suggestions",
    "GET /api/v1/opinions",
    "GET /api/v1/predictions",
    "GET /api/v1/predictions/events",
    "GET /api/v1/predictions/{prediction_id}",
    "DELETE /api/v1/predictions/{prediction_id}",
    "GET /api/v1/predictions/{prediction_id}/image",
    "GET /api/v1/predictions/{prediction_id}/dicom",
    "GET /api/v1/predictions/{prediction_id}/heatmap",
    "GET /api/v1/predictions/{prediction_id}/reviews",
    "POST /api/v1/predictions/{prediction_id}/reviews",
    "GET /api/v1/predictions/{prediction_id}/thumbnail",
    "POST /api/v1/patients/deletion",
    "GET /api/v1/batches",
    "POST /api/v1/batches",
    "GET /api/v1/batches/{batch_id}",
    "DELETE /api/v1/batches/{batch_id}",
    "GET /api/v1/batches/{batch_id}/items",
    "GET /api/v1/batches/{batch_id}/events",
    "PUT /api/v1/batches/{batch_id}/files/{number}",
    "POST /api/v1/batches/{batch_id}/archive",
    "GET /api/v1/batches/{batch_id}/summary.json",
    "GET /api/v1/batches/{batch_id}/summary.csv",
    "POST /api/v1/batches/{batch_id}/close",
    "POST /api/v1/batches/{batch_id}/cancel",
    "POST /api/v1/batches/{batch_id}/retry",
)


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_answer_is_one_that_is_described(api_schema: Any, name: str) -> None:
    """Status, media type and body of every answer; and none is a failure of ours."""
    method, path = name.split()
    # No schema says which bytes are a readable image.
    excluded = [positive_data_acceptance] if method == "POST" else []
    # Behind the door an API key is a signed identity, and the key itself is not looked at.
    excluded.append(ignored_auth)

    @seed(20250101)
    @settings(
        max_examples=8,
        deadline=None,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(case=api_schema[path][method].as_strategy())
    def keeps_its_word(case: Case) -> None:
        response = case.call(headers=signed(*Role, via="key"))
        assert response.status_code < 500
        case.validate_response(response, excluded_checks=excluded)

    keeps_its_word()


def test_the_description_is_whole(client: httpx.Client) -> None:
    document = client.get("/api/v1/openapi.json").json()
    assert "HTTPValidationError" not in document["components"]["schemas"]
    operations = {
        f"{method.upper()} {path}": one
        for path, methods in document["paths"].items()
        for method, one in methods.items()
    }
    assert set(operations) == set(OPERATIONS)
    problem = {"schema": {"$ref": "#/components/schemas/Problem"}}
    for operation in operations.values():
        assert operation["summary"]
        assert "500" in operation["responses"]
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                assert response["content"] == {"application/problem+json": problem}


def test_every_refusal_of_an_image_is_described(client: httpx.Client) -> None:
    document = client.get("/api/v1/openapi.json").json()
    responses = document["paths"]["/api/v1/diseases/{disease}/predictions"]["post"]["responses"]
    for kind in vars(errors).values():
        if (
            isinstance(kind, type)
            and issubclass(kind, errors.ImageRefused | errors.ModelUnavailable)
            and kind is not errors.ImageRefused
        ):
            refusal: type[SightlineError] = kind
            assert f"`{refusal.code}`" in responses[str(refusal.status)]["description"]


def test_the_documentation_pages_are_not_ours(client: httpx.Client) -> None:
    for path in ("/docs", "/redoc", "/openapi.json"):
        assert client.get(path).status_code == 404
