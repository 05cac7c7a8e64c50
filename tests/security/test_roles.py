"""Requests that the API's own description suggests, sent as each role: none breaks the service.

200 a role; with `--whole` 10,000. What a role may not do is refused whatever else is sent.
"""

import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import booleans
from schemathesis import Case

import tests.fixtures.describing  # noqa: F401
from diagnosis.audit import MemoryAudit
from diagnosis.identity import Role
from diagnosis.queue import MemoryQueue
from diagnosis.results import MemoryResults
from inference_service.access import TABLE
from inference_service.app import create_app
from tests.contracts.doors import may
from tests.fixtures.identity import CSRF, signed
from tests.fixtures.live_service import DISEASE, artifacts, settings_in
from tests.fixtures.serving import served
from tests.inference_service.pictures import BRIGHT

__all__ = ["artifacts"]

#: What is there, by the names of the parameters.
KNOWN = {"disease": DISEASE, "version": "2", "name": "demo-dark.png"}
CASES, WHOLE = 200, 10_000


def ours(role: Role) -> dict[str, str]:
    """What a page of ours sends for a session of this role."""
    return {**signed(role), "sec-fetch-site": "same-origin", "x-csrf-token": CSRF}


@pytest.fixture(scope="module")
def api_schema(tmp_path_factory: pytest.TempPathFactory, artifacts: Path) -> Iterator[Any]:
    """The description of a service on a port of its own, with a reading in it."""
    folder = tmp_path_factory.mktemp("roles")
    results = MemoryResults()
    app = create_app(
        settings_in(folder, models_dir=artifacts),
        results=results,
        audit=MemoryAudit(),
        queue=MemoryQueue(results),
    )
    with served(app) as address:
        until = time.monotonic() + 20
        while httpx.get(f"{address}/readyz").status_code != 200 and time.monotonic() < until:
            time.sleep(0.05)
        path = f"{address}/api/v1/diseases/{DISEASE}/predictions"
        made = httpx.post(path, files={"image": BRIGHT}, headers=ours(Role.CLINICIAN))
        assert made.status_code == 201
        KNOWN["prediction_id"] = made.json()["id"]
        yield schemathesis.openapi.from_url(
            f"{address}/api/v1/openapi.json", headers=ours(Role.OPS)
        )


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("role", Role)
def test_no_request_of_any_role_breaks_the_service(
    request: pytest.FixtureRequest, api_schema: Any, role: Role
) -> None:
    count = WHOLE if request.config.getoption("--whole", default=False) else CASES
    told: Counter[int] = Counter()

    @seed(20260101)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(case=api_schema.as_strategy(), known=booleans())
    def stands(case: Case, known: bool) -> None:
        if known:
            # Half of them name what is there, so that they get past the first look.
            for name in set(KNOWN) & set(case.path_parameters or {}):
                case.path_parameters[name] = KNOWN[name]
        answer = case.call(headers=ours(role))
        told[answer.status_code] += 1
        if answer.status_code == 503:
            assert int(answer.headers["retry-after"]) > 0
        else:
            assert answer.status_code < 500, answer.text
        if not may(TABLE[case.operation.method.upper(), case.operation.path], role):
            assert answer.status_code == 403, answer.text

    stands()
    assert sum(told.values()) >= count
    sys.stdout.write(f"{role}: {sum(told.values())} requests, {dict(sorted(told.items()))}\n")
