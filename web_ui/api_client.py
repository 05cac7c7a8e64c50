"""The pages' only way to the rest of the house: inference_service's API under `/api/v1`.

What the API answers comes back as the wire models of `diagnosis.contracts`; what it refuses comes
back as the errors of `diagnosis.errors`, so that a page tells the same story as the API.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

import httpx
from pydantic import BaseModel, ValidationError

from diagnosis import errors
from diagnosis.contracts import (
    ArtifactReference,
    DiseaseList,
    DiseaseView,
    NewReview,
    OpinionSummary,
    Prediction,
    PredictionPage,
    Problem,
    Review,
    ReviewList,
    SuggestionList,
    VersionList,
)
from diagnosis.errors import (
    InputRefused,
    ServiceUnavailable,
    SightlineError,
    TemporarilyUnavailable,
)
from web_ui.caller import Caller
from web_ui.settings import Settings

#: The part's name in the multipart body; the name that the file had stays in the browser.
_FORWARDED_NAME = "image"

#: A stream says something every 15 s at least; a longer silence means that it is dead.
_SILENCE_SECONDS = 40.0
_EVENTS = "/api/v1/predictions/events"
_LIMITS = httpx.Limits(max_connections=1000, max_keepalive_connections=20)
#: Cards that are kept: more than there are live versions, each below 50 KB.
_MOST_CARDS = 32

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class StoredImage:
    """An image as the API hands it out, with what it is and who may keep it."""

    content: bytes
    headers: dict[str, str]


def _errors_by_code(base: type[SightlineError] = SightlineError) -> Iterator[type[SightlineError]]:
    yield base
    for child in base.__subclasses__():
        yield from _errors_by_code(child)


def _form(image: bytes) -> dict[str, tuple[str, bytes, str]]:
    """The multipart field of an image, without the name that the file had."""
    return {"image": (_FORWARDED_NAME, image, "application/octet-stream")}


def _stored(answer: httpx.Response) -> StoredImage:
    passed = ("content-type", "cache-control", "etag", "sightline-heatmap-maximum")
    headers = {name: answer.headers[name] for name in passed if name in answer.headers}
    return StoredImage(answer.content, headers)


@contextmanager
def _as_unavailable() -> Iterator[None]:
    try:
        yield
    except httpx.TransportError as error:
        raise ServiceUnavailable(cause=type(error).__name__) from error


class RefusedElsewhere(InputRefused):
    """A refusal by another service whose class lives there; what it says is passed on."""

    def __init__(self, problem: Problem, after: str = "") -> None:
        super().__init__(problem.detail, remedy=problem.remedy)
        told = {"code": problem.code, "status": problem.status, "title": problem.title}
        seconds = {"retry_after": int(after)} if after.isdecimal() else {}
        vars(self).update(told | seconds)


def error_of(status: int, body: bytes, after: str = "") -> SightlineError:
    """The error that an answer of another service stands for.

    Args:
        status: HTTP status, 400 or above.
        body: ideally an RFC 9457 problem; anything else gives a general error.
        after: the answer's `Retry-After` in seconds, where it had one.
    """
    try:
        problem = Problem.model_validate_json(body)
    except ValidationError:
        if status >= 500:
            return ServiceUnavailable(cause=f"status {status} without a problem")
        return SightlineError(cause=f"status {status} without a problem")
    # Of several classes with one code, the one that names it; of others' own classes none.
    known = {
        kind.code: kind
        for kind in _errors_by_code()
        if "code" in vars(kind) and kind.__module__.startswith(f"{errors.__name__}.")
    }
    kind = known.get(problem.code)
    if kind is None or kind.status != problem.status:
        if status < 500:
            return RefusedElsewhere(problem, after)
        kind = TemporarilyUnavailable
    return kind(problem.detail, remedy=problem.remedy)


def _client(
    settings: Settings, transport: httpx.AsyncBaseTransport | None, answer_seconds: float
) -> httpx.AsyncClient:
    if transport is None and settings.api_socket is not None:
        transport = httpx.AsyncHTTPTransport(uds=str(settings.api_socket), limits=_LIMITS)
    return httpx.AsyncClient(
        base_url=settings.api_url or "http://inference_service",
        transport=transport,
        timeout=httpx.Timeout(answer_seconds, connect=settings.connect_seconds),
        limits=_LIMITS,
        # Proxies of the environment are none of an internal call's business.
        trust_env=False,
    )


class ApiClient:
    """A typed client of inference_service.

    Args:
        settings: where the API is and how long to wait for it.
        transport: how to reach it; by default the settings' socket or address. An in-process
            transport is a peer that speaks to the same API without a network.

    Every method raises `ServiceUnavailable` when the API does not answer, and the API's own
    error where it refuses.
    """

    def __init__(
        self, settings: Settings, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._http = _client(settings, transport, settings.answer_seconds)
        # Streams stay open for minutes, and must not use up the connections of the others.
        self._streams = _client(settings, transport, _SILENCE_SECONDS)
        self._cards: dict[ArtifactReference, dict[str, Any]] = {}

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()
        await self._streams.aclose()

    async def diseases(self, caller: Caller) -> DiseaseList:
        """The whole catalogue, in its order."""
        return await self._model(DiseaseList, "GET", "/api/v1/diseases", caller)

    async def disease(self, caller: Caller, disease: str) -> DiseaseView:
        """One disease. Raises UnknownDisease."""
        return await self._model(DiseaseView, "GET", f"/api/v1/diseases/{disease}", caller)

    async def read(
        self,
        caller: Caller,
        disease: str,
        image: bytes,
        *,
        patient_reference: str | None = None,
        key: UUID | None = None,
    ) -> Prediction:
        """Have an image read.

        Args:
            caller: who asks.
            disease: what it is read for.
            image: the file's bytes.
            patient_reference: whose image it is, in the sender's own words; the API keeps a hash.
            key: names this sending; the same one again gives the same reading and no second.

        Raises the API's refusals: ImageRefused, ModelUnavailable, TemporarilyUnavailable.
        """
        path = f"/api/v1/diseases/{disease}/predictions"
        data = {"patient_reference": patient_reference} if patient_reference else {}
        marks = {"idempotency-key": str(key)} if key else {}
        return await self._model(
            Prediction, "POST", path, caller, files=_form(image), data=data, marks=marks
        )

    async def portable(self, caller: Caller, disease: str) -> dict[str, Any]:
        """The disease's live model as a device keeps it. Raises ModelUnavailable, NotPortable."""
        return await self._object(f"/api/v1/diseases/{disease}/portable", caller)

    async def portable_file(self, caller: Caller, disease: str, version: str, name: str) -> bytes:
        """A file of that model. Raises UnknownVersion where another version is live by now."""
        path = f"/api/v1/diseases/{disease}/portable/{version}/{name}"
        return (await self._answer("GET", path, caller)).content

    async def suggestions(self, caller: Caller, image: bytes) -> SuggestionList:
        """What an image may be read for; nothing of it is kept. Raises ImageRefused."""
        path = "/api/v1/examinations/suggestions"
        return await self._model(SuggestionList, "POST", path, caller, files=_form(image))

    async def reading(
        self, caller: Caller, prediction: UUID, *, export: bool = False
    ) -> Prediction:
        """One prediction; `export` has the audit trail say that it is carried away.

        Raises UnknownPrediction.
        """
        path = f"/api/v1/predictions/{prediction}"
        purpose = {"params": {"purpose": "export"}} if export else {}
        return await self._model(Prediction, "GET", path, caller, **purpose)

    async def readings(
        self,
        caller: Caller,
        *,
        limit: int,
        cursor: str | None = None,
        **filters: str | None,
    ) -> PredictionPage:
        """A page of predictions. Raises InvalidRequest for a cursor or a filter of no use.

        Args:
            caller: who asks.
            limit: at most so many, 1 to 100.
            cursor: the `next_cursor` of the page before.
            filters: disease, class_id, band, review, same_patient_as, q, sort; see the API.
        """
        asked = filters | {"cursor": cursor, "limit": str(limit)}
        params = {name: value for name, value in asked.items() if value}
        return await self._model(
            PredictionPage, "GET", "/api/v1/predictions", caller, params=params
        )

    async def delete(self, caller: Caller, prediction: UUID) -> None:
        """Delete a prediction and its image. Raises UnknownPrediction."""
        await self._answer("DELETE", f"/api/v1/predictions/{prediction}", caller)

    async def reading_image(self, caller: Caller, prediction: UUID) -> StoredImage:
        """The kept image of a prediction."""
        return await self._image(f"/api/v1/predictions/{prediction}/image", caller)

    async def demo_image(self, caller: Caller, disease: str, name: str) -> StoredImage:
        """A synthetic image of the disease's live artifact."""
        return await self._image(f"/api/v1/diseases/{disease}/demo-images/{name}", caller)

    async def heatmap(self, caller: Caller, prediction: UUID, class_id: str) -> StoredImage:
        """Where the model found what speaks for a class, as a picture of the image's ratio."""
        path = f"/api/v1/predictions/{prediction}/heatmap"
        return await self._image(path, caller, params={"class": class_id})

    async def reading_dicom(self, caller: Caller, prediction: UUID) -> StoredImage:
        """The DICOM file that is kept of a prediction. Raises NoSuchResource where none is."""
        return await self._image(f"/api/v1/predictions/{prediction}/dicom", caller)

    async def thumbnail(
        self, caller: Caller, prediction: UUID, known: str | None = None
    ) -> StoredImage | None:
        """The image, small; None where it is still the one that `known` is the ETag of."""
        path = f"/api/v1/predictions/{prediction}/thumbnail"
        marks = {"if-none-match": known} if known else None
        answer = await self._answer("GET", path, caller, marks=marks)
        if answer.status_code == 304:
            return None
        return _stored(answer)

    async def reviews(self, caller: Caller, prediction: UUID) -> tuple[Review, ...]:
        """What was said of a prediction, oldest first. Raises UnknownPrediction."""
        path = f"/api/v1/predictions/{prediction}/reviews"
        return (await self._model(ReviewList, "GET", path, caller)).items

    async def add_review(self, caller: Caller, prediction: UUID, said: NewReview) -> Review:
        """Say something of a prediction; it is kept for good.

        Raises UnknownPrediction, AlreadyReviewed for a first opinion that is none.
        """
        path = f"/api/v1/predictions/{prediction}/reviews"
        return await self._model(Review, "POST", path, caller, json=said.model_dump(mode="json"))

    async def versions(self, caller: Caller, disease: str) -> VersionList:
        """The versions of a disease's model, and what was done to them. Raises UnknownDisease."""
        return await self._model(VersionList, "GET", f"/api/v1/diseases/{disease}/versions", caller)

    async def version_card(self, caller: Caller, disease: str, version: str) -> dict[str, Any]:
        """The card of one version, as it stands in `card.json`. Raises UnknownDisease."""
        return await self._object(f"/api/v1/diseases/{disease}/versions/{version}/card", caller)

    async def card_of(self, caller: Caller, artifact: ArtifactReference) -> dict[str, Any]:
        """The card of the artifact that answered, which never changes: asked for once.

        Raises UnknownDisease where the version is gone.
        """
        card = self._cards.get(artifact)
        if card is None:
            card = await self.version_card(caller, artifact.disease, artifact.version)
            while len(self._cards) >= _MOST_CARDS:
                del self._cards[next(iter(self._cards))]
            self._cards[artifact] = card
        return card

    async def card(self, caller: Caller, disease: str) -> dict[str, Any]:
        """The card of the disease's live artifact, as it stands in `card.json`.

        Raises UnknownDisease, ModelUnavailable.
        """
        return await self._object(f"/api/v1/diseases/{disease}/card", caller)

    async def openapi(self, caller: Caller) -> dict[str, Any]:
        """The API's own description."""
        return await self._object("/api/v1/openapi.json", caller)

    async def opinions(self, caller: Caller) -> OpinionSummary:
        """How often the answers changed a mind in the caller's unit."""
        return await self._model(OpinionSummary, "GET", "/api/v1/opinions", caller)

    async def events(self, caller: Caller, last_event_id: str = "") -> httpx.Response:
        """A stream of the unit's new readings, open; whoever reads it closes it.

        `last_event_id` names the reading after which it begins; empty: from now on.
        """
        headers = caller.headers() | ({"last-event-id": last_event_id} if last_event_id else {})
        request = self._streams.build_request("GET", _EVENTS, headers=headers)
        with _as_unavailable():
            answer = await self._streams.send(request, stream=True)
            if answer.status_code >= 400:
                body = await answer.aread()
                await answer.aclose()
                raise error_of(answer.status_code, body)
        return answer

    async def ping(self) -> None:
        """Whether the service is alive. Raises ServiceUnavailable."""
        await self._answer("GET", "/healthz", None)

    async def _model(
        self, model: type[Model], method: str, path: str, caller: Caller, **options: Any
    ) -> Model:
        answer = await self._answer(method, path, caller, **options)
        try:
            return model.model_validate_json(answer.content)
        except ValidationError as error:
            # The values are left out of the log: they are somebody's reading.
            fields = ", ".join(str(part["loc"]) for part in error.errors(include_input=False))
            raise SightlineError(cause=f"an answer breaks the contract at {fields}") from error

    async def _object(self, path: str, caller: Caller) -> dict[str, Any]:
        """A JSON object that has no wire model here."""
        answer = await self._answer("GET", path, caller)
        try:
            document = answer.json()
        except ValueError as error:
            raise ServiceUnavailable(cause=f"{path} is not JSON") from error
        if not isinstance(document, dict):
            raise ServiceUnavailable(cause=f"{path} is not an object")
        return document

    async def _image(self, path: str, caller: Caller, **options: Any) -> StoredImage:
        return _stored(await self._answer("GET", path, caller, **options))

    async def _answer(
        self,
        method: str,
        path: str,
        caller: Caller | None,
        *,
        marks: Mapping[str, str] | None = None,
        **options: Any,
    ) -> httpx.Response:
        headers = dict(marks or {}) | ({} if caller is None else caller.headers())
        with _as_unavailable():
            answer = await self._http.request(method, path, headers=headers, **options)
        if answer.status_code >= 400:
            raise error_of(answer.status_code, answer.content)
        return answer
