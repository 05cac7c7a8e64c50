"""A peer of inference_service that reads with the artifacts that ship, for the offline page.

It answers as the service does, gate included, and keeps readings in memory: an image that comes
again under its key is the reading that it was.
"""

import hashlib
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, cast
from uuid import UUID

import numpy as np
from fastapi import FastAPI, File, Header, Request, Response, UploadFile

from diagnosis.artifacts import open_artifact
from diagnosis.catalogue import catalogue
from diagnosis.catalogue import disease as disease_of
from diagnosis.contracts import DiseaseList, Prediction, Problem
from diagnosis.errors import NoSuchResource, SightlineError, UnknownDisease, UnknownVersion
from diagnosis.gate import look
from diagnosis.images import read_image
from diagnosis.portable import Portable, PortableModel, portable
from diagnosis.reading import compose
from inference_service.loading import Demo, LiveModel
from inference_service.views import disease_view
from trainer.engine import Network, compile_ir
from trainer.settings import PROJECT

SHIPPED = tuple(sorted((PROJECT / "models").glob("*/*")))


class Shipped:
    """One artifact that ships, as the service and as a device have it."""

    def __init__(self, folder: Path) -> None:
        self.artifact = open_artifact(folder)
        self.card = self.artifact.card
        self.disease = disease_of(self.card.disease)
        self.live = LiveModel(
            disease=self.disease,
            card=self.card,
            engine=cast(Any, SimpleNamespace(explains=False)),
            demos={
                name: Demo(data, "image/png") for name, data in self.artifact.demo_images.items()
            },
            demo_digests=frozenset(),
            gate=self.artifact.open_gate(self.disease),
        )

    @cached_property
    def portable(self) -> Portable:
        """What a device is given."""
        return portable(self.artifact, self.disease)

    @cached_property
    def network(self) -> Network:
        """The served graph at f32."""
        assert self.artifact.ir_xml is not None
        assert self.artifact.ir_bin is not None
        return compile_ir(self.artifact.ir_xml, self.artifact.ir_bin, "f32")

    def read(self, data: bytes) -> Prediction:
        """What the service says of an image."""
        steps = self.card.preprocessing
        image = read_image(data, decode_at_least=steps.decode_at_least)
        verdict = None if self.live.gate is None else self.live.gate.judge(look(image.pixels))
        outputs = None
        if verdict is None or verdict.reading.passed:
            outputs = self.network(steps.apply(image.pixels)[np.newaxis])[0]
        return compose(
            self.disease,
            self.card,
            image.facts,
            outputs,
            point=self.card.operating_point() if self.card.finding else None,
            timings_ms={},
            unit="default",
            created_by="u_tester",
            patient_reference=None,
            verdict=verdict,
        )


class Peer:
    """The API over the artifacts that ship, and what a test may look at."""

    def __init__(self, folders: tuple[Path, ...] = SHIPPED) -> None:
        self.models = {one.card.disease: one for one in map(Shipped, folders)}
        self.readings: dict[UUID, Prediction] = {}
        self.by_key: dict[str, UUID] = {}
        self.received: list[str] = []
        """The digest of each image that came, repetitions included."""
        self.app = _app(self)

    def model(self, disease: str) -> Shipped:
        """Raises UnknownDisease."""
        if disease not in self.models:
            raise UnknownDisease
        return self.models[disease]

    def listed(self) -> DiseaseList:
        """The catalogue, with the models that are here."""

        class Models:
            loaded = True

            @staticmethod
            def entry(disease: str) -> LiveModel | None:
                found = self.models.get(disease)
                return found.live if found else None

        return DiseaseList(
            items=tuple(disease_view(cast(Any, Models), one) for one in catalogue().values())
        )


def _app(peer: Peer) -> FastAPI:
    app = FastAPI()

    @app.exception_handler(SightlineError)
    async def refuse(_: Request, error: SightlineError) -> Response:
        problem = Problem.of(error)
        return Response(problem.model_dump_json(), error.status, None, "application/problem+json")

    @app.get("/api/v1/diseases")
    async def diseases() -> DiseaseList:
        return peer.listed()

    @app.get("/api/v1/diseases/{disease}/portable")
    async def model(disease: str) -> PortableModel:
        return peer.model(disease).portable.model

    @app.get("/api/v1/diseases/{disease}/portable/{version}/{name}")
    async def file(disease: str, version: str, name: str) -> Response:
        found = peer.model(disease)
        if version != found.card.version:
            raise UnknownVersion
        content = found.portable.onnx if name == "model.onnx" else found.portable.gate
        if content is None:
            raise NoSuchResource
        return Response(content, media_type="application/octet-stream")

    @app.get("/api/v1/diseases/{disease}/demo-images/{name}")
    async def demo_image(disease: str, name: str) -> Response:
        return Response(peer.model(disease).live.demos[name].data, media_type="image/png")

    @app.post("/api/v1/diseases/{disease}/predictions", status_code=201)
    async def read(
        disease: str,
        image: Annotated[UploadFile, File()],
        idempotency_key: Annotated[str, Header()],
    ) -> Prediction:
        data = await image.read()
        peer.received.append(hashlib.sha256(data).hexdigest())
        if idempotency_key in peer.by_key:
            return peer.readings[peer.by_key[idempotency_key]]
        reading = peer.model(disease).read(data)
        peer.readings[reading.id] = reading
        peer.by_key[idempotency_key] = reading.id
        return reading

    return app
