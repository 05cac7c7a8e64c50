"""Who may use which route of the API; what is not here is open to nobody."""

from typing import Annotated

from fastapi import Depends, Request

from diagnosis.access import EVERYBODY, OPEN, AccessTable
from diagnosis.identity import Identity, Role

_READERS = frozenset({Role.CLINICIAN})
_OF_MODELS = frozenset({Role.CLINICIAN, Role.ENGINEER})
_ENGINEERS = frozenset({Role.ENGINEER})

TABLE: AccessTable = {
    # The private side; the proxy answers 404 for these.
    ("GET", "/healthz"): OPEN,
    ("GET", "/readyz"): OPEN,
    ("GET", "/metrics"): OPEN,
    ("GET", "/api/v1/openapi.json"): EVERYBODY,
    # The start page lists the diseases, whoever looks at it.
    ("GET", "/api/v1/diseases"): EVERYBODY,
    ("GET", "/api/v1/diseases/{disease}"): _OF_MODELS,
    ("GET", "/api/v1/diseases/{disease}/card"): _OF_MODELS,
    ("GET", "/api/v1/diseases/{disease}/demo-images/{name}"): _OF_MODELS,
    ("GET", "/api/v1/diseases/{disease}/portable"): _OF_MODELS,
    ("GET", "/api/v1/diseases/{disease}/portable/{version}/{name}"): _OF_MODELS,
    ("GET", "/api/v1/diseases/{disease}/versions"): _OF_MODELS,
    ("GET", "/api/v1/diseases/{disease}/versions/{version}/card"): _OF_MODELS,
    ("POST", "/api/v1/diseases/{disease}/versions/{version}/promotion"): _ENGINEERS,
    ("POST", "/api/v1/diseases/{disease}/versions/{version}/lift"): _OF_MODELS,
    ("POST", "/api/v1/diseases/{disease}/rollback"): _ENGINEERS,
    ("POST", "/api/v1/examinations/suggestions"): _READERS,
    # Readings are of patients: clinicians see those of their unit, and nobody else sees any.
    ("POST", "/api/v1/diseases/{disease}/predictions"): _READERS,
    ("GET", "/api/v1/predictions"): _READERS,
    ("GET", "/api/v1/predictions/events"): _READERS,
    ("GET", "/api/v1/predictions/{prediction_id}"): _READERS,
    ("DELETE", "/api/v1/predictions/{prediction_id}"): _READERS,
    ("GET", "/api/v1/predictions/{prediction_id}/image"): _READERS,
    ("GET", "/api/v1/predictions/{prediction_id}/thumbnail"): _READERS,
    ("GET", "/api/v1/predictions/{prediction_id}/heatmap"): _READERS,
    ("GET", "/api/v1/predictions/{prediction_id}/reviews"): _READERS,
    ("POST", "/api/v1/predictions/{prediction_id}/reviews"): _READERS,
    ("GET", "/api/v1/opinions"): _READERS,
    ("GET", "/api/v1/predictions/{prediction_id}/dicom"): _READERS,
    ("POST", "/api/v1/patients/deletion"): _READERS,
    ("POST", "/api/v1/batches"): _READERS,
    ("GET", "/api/v1/batches"): _READERS,
    ("GET", "/api/v1/batches/{batch_id}"): _READERS,
    ("DELETE", "/api/v1/batches/{batch_id}"): _READERS,
    ("GET", "/api/v1/batches/{batch_id}/items"): _READERS,
    ("GET", "/api/v1/batches/{batch_id}/events"): _READERS,
    ("PUT", "/api/v1/batches/{batch_id}/files/{number}"): _READERS,
    ("POST", "/api/v1/batches/{batch_id}/archive"): _READERS,
    ("GET", "/api/v1/batches/{batch_id}/summary.json"): _READERS,
    ("GET", "/api/v1/batches/{batch_id}/summary.csv"): _READERS,
    ("POST", "/api/v1/batches/{batch_id}/close"): _READERS,
    ("POST", "/api/v1/batches/{batch_id}/cancel"): _READERS,
    ("POST", "/api/v1/batches/{batch_id}/retry"): _READERS,
}


# Coroutines, because the framework calls a plain function in a thread of its own.
async def _asking(request: Request) -> Identity:
    identity = request.state.identity
    assert isinstance(identity, Identity)
    return identity


async def _asking_afresh(request: Request) -> Identity:
    return (await _asking(request)).require_fresh()


#: Who is asking, on a route that the table keeps for somebody.
Asking = Annotated[Identity, Depends(_asking)]
#: The same, where the password was given within the last two minutes.
AskingAfresh = Annotated[Identity, Depends(_asking_afresh)]
