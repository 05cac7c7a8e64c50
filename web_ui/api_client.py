"""The pages' only way to the rest of the house: inference_service's API under `/api/v1`.

What the API answers comes back as the wire models of `diagnosis.contracts`; what it refuses comes
back as the errors of `diagnosis.errors`, so that a page tells the same story as the API.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx

from diagnosis.contracts import (
    ArtifactReference,
    DiseaseList,
    DiseaseView,
    NewReview,
    OpinionSummary,
    Prediction,
    PredictionPage,
    Review,
    ReviewList,
    SuggestionList,
    VersionList,
)
from web_ui.caller import Caller
from web_ui.calls import Calls
from web_ui.settings import Settings

#: The part's name in the multipart body; the name that the file had stays in the browser.
_FORWARDED_NAME = "image"

_EVENTS = "/api/v1/predictions/events"
#: Cards that are kept: more than there are live versions, each below 100 KB.
_MOST_CARDS = 32


@dataclass(frozen=True)
class StoredImage:
    """An image as the API hands it out, with what it is and who may keep it."""

    content: bytes
    headers: dict[str, str]


def _form(image: bytes) -> dict[str, tuple[str, bytes, str]]:
    """The multipart field of an image, without the name that the file had."""
    return {"image": (_FORWARDED_NAME, image, "application/octet-stream")}


def _stored(answer: httpx.Response) -> StoredImage:
    passed = ("content-type", "cache-control", "etag", "sightline-heatmap-maximum")
    headers = {name: answer.headers[name] for name in passed if name in answer.headers}
    return StoredImage(answer.content, headers)


class ApiClient(Calls):
    """A typed client of inference_service.

    See `Calls` for the arguments, and for what every method raises.
    """

    def __init__(
        self, settings: Settings, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        super().__init__(settings, transport)
        self._cards: dict[ArtifactReference, dict[str, Any]] = {}

    async def diseases(self, caller: Caller) -> DiseaseList:
        """The whole catalogue, in its order."""
        return await self.model(DiseaseList, "GET", "/api/v1/diseases", caller)

    async def disease(self, caller: Caller, disease: str) -> DiseaseView:
        """One disease. Raises UnknownDisease."""
        return await self.model(DiseaseView, "GET", f"/api/v1/diseases/{disease}", caller)

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
        return await self.model(
            Prediction, "POST", path, caller, files=_form(image), data=data, marks=marks
        )

    async def portable(self, caller: Caller, disease: str) -> dict[str, Any]:
        """The disease's live model as a device keeps it. Raises ModelUnavailable, NotPortable."""
        return await self.document(f"/api/v1/diseases/{disease}/portable", caller)

    async def portable_file(self, caller: Caller, disease: str, version: str, name: str) -> bytes:
        """A file of that model. Raises UnknownVersion where another version is live by now."""
        path = f"/api/v1/diseases/{disease}/portable/{version}/{name}"
        return (await self.answer("GET", path, caller)).content

    async def suggestions(self, caller: Caller, image: bytes) -> SuggestionList:
        """What an image may be read for; nothing of it is kept. Raises ImageRefused."""
        path = "/api/v1/examinations/suggestions"
        return await self.model(SuggestionList, "POST", path, caller, files=_form(image))

    async def reading(
        self, caller: Caller, prediction: UUID, *, export: bool = False
    ) -> Prediction:
        """One prediction; `export` has the audit trail say that it is carried away.

        Raises UnknownPrediction.
        """
        path = f"/api/v1/predictions/{prediction}"
        purpose = {"params": {"purpose": "export"}} if export else {}
        return await self.model(Prediction, "GET", path, caller, **purpose)

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
        return await self.model(PredictionPage, "GET", "/api/v1/predictions", caller, params=params)

    async def delete(self, caller: Caller, prediction: UUID) -> None:
        """Delete a prediction and its image. Raises UnknownPrediction."""
        await self.answer("DELETE", f"/api/v1/predictions/{prediction}", caller)

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
        answer = await self.answer("GET", path, caller, marks=marks)
        if answer.status_code == 304:
            return None
        return _stored(answer)

    async def reviews(self, caller: Caller, prediction: UUID) -> tuple[Review, ...]:
        """What was said of a prediction, oldest first. Raises UnknownPrediction."""
        path = f"/api/v1/predictions/{prediction}/reviews"
        return (await self.model(ReviewList, "GET", path, caller)).items

    async def add_review(self, caller: Caller, prediction: UUID, said: NewReview) -> Review:
        """Say something of a prediction; it is kept for good.

        Raises UnknownPrediction, AlreadyReviewed for a first opinion that is none.
        """
        path = f"/api/v1/predictions/{prediction}/reviews"
        return await self.model(Review, "POST", path, caller, json=said.model_dump(mode="json"))

    async def versions(self, caller: Caller, disease: str) -> VersionList:
        """The versions of a disease's model, and what was done to them. Raises UnknownDisease."""
        return await self.model(VersionList, "GET", f"/api/v1/diseases/{disease}/versions", caller)

    async def lift(self, caller: Caller, disease: str, version: str) -> VersionList:
        """Agree that a stopped version answers again.

        Raises ReauthenticationNeeded, and a refusal where the caller has agreed before.
        """
        path = f"/api/v1/diseases/{disease}/versions/{version}/lift"
        return await self.model(VersionList, "POST", path, caller)

    async def version_card(self, caller: Caller, disease: str, version: str) -> dict[str, Any]:
        """The card of one version, as it stands in `card.json`. Raises UnknownDisease."""
        return await self.document(f"/api/v1/diseases/{disease}/versions/{version}/card", caller)

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
        return await self.document(f"/api/v1/diseases/{disease}/card", caller)

    async def openapi(self, caller: Caller) -> dict[str, Any]:
        """The API's own description."""
        return await self.document("/api/v1/openapi.json", caller)

    async def opinions(self, caller: Caller) -> OpinionSummary:
        """How often the answers changed a mind in the caller's unit."""
        return await self.model(OpinionSummary, "GET", "/api/v1/opinions", caller)

    async def events(self, caller: Caller, last_event_id: str = "") -> httpx.Response:
        """A stream of the unit's new readings, open; whoever reads it closes it.

        `last_event_id` names the reading after which it begins; empty: from now on.
        """
        marks = {"last-event-id": last_event_id} if last_event_id else None
        return await self.stream(_EVENTS, caller, marks)

    async def ping(self) -> None:
        """Whether the service is alive. Raises ServiceUnavailable."""
        await self.answer("GET", "/healthz", None)

    async def _image(self, path: str, caller: Caller, **options: Any) -> StoredImage:
        return _stored(await self.answer("GET", path, caller, **options))
