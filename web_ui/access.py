"""Who may use which page; what is not here is open to nobody."""

from diagnosis.access import EVERYBODY, OPEN, AccessTable
from diagnosis.identity import Role

_READERS = frozenset({Role.CLINICIAN})
_OF_MODELS = frozenset({Role.CLINICIAN, Role.ENGINEER})
_ADMINS = frozenset({Role.ADMIN})
_AUDITORS = frozenset({Role.AUDITOR})

TABLE: AccessTable = {
    # The private side; the proxy answers 404 for these.
    ("GET", "/healthz"): OPEN,
    ("GET", "/readyz"): OPEN,
    ("GET", "/metrics"): OPEN,
    # The way in.
    ("GET", "/static/dist/{path:path}"): OPEN,
    ("POST", "/language"): OPEN,
    ("GET", "/sign-in"): OPEN,
    ("POST", "/sign-in"): OPEN,
    ("GET", "/sign-in/code"): OPEN,
    ("POST", "/sign-in/code"): OPEN,
    ("GET", "/welcome/{token}"): OPEN,
    ("POST", "/welcome/{token}"): OPEN,
    # What a device keeps for work without a network is about nobody.
    ("GET", "/offline"): OPEN,
    ("GET", "/service-worker.js"): OPEN,
    ("GET", "/manifest.webmanifest"): OPEN,
    # What is nobody's secret.
    ("GET", "/"): EVERYBODY,
    ("GET", "/about"): EVERYBODY,
    ("GET", "/api"): EVERYBODY,
    ("GET", "/api-console"): EVERYBODY,
    ("GET", "/diseases"): EVERYBODY,
    ("GET", "/robots.txt"): EVERYBODY,
    ("GET", "/favicon.ico"): EVERYBODY,
    # One's own account.
    ("GET", "/account"): EVERYBODY,
    ("POST", "/account/password"): EVERYBODY,
    ("POST", "/account/read-first"): EVERYBODY,
    ("POST", "/account/codes"): EVERYBODY,
    ("POST", "/account/codes/confirm"): EVERYBODY,
    ("POST", "/account/codes/off"): EVERYBODY,
    ("POST", "/account/keys"): EVERYBODY,
    ("POST", "/account/keys/{key}/revoke"): EVERYBODY,
    ("GET", "/confirm"): EVERYBODY,
    ("POST", "/confirm"): EVERYBODY,
    ("POST", "/sign-out"): EVERYBODY,
    # Models, for who reads with them and who makes them.
    ("GET", "/diseases/{disease}"): _OF_MODELS,
    ("GET", "/diseases/{disease}/card"): _OF_MODELS,
    ("GET", "/diseases/{disease}/versions"): _OF_MODELS,
    ("GET", "/diseases/{disease}/versions/{version}"): _OF_MODELS,
    ("GET", "/diseases/{disease}/compare"): _OF_MODELS,
    ("GET", "/demo/{disease}/{name}"): _OF_MODELS,
    ("GET", "/diseases/{disease}/readings"): _OF_MODELS,
    ("GET", "/offline/state"): _READERS,
    ("GET", "/offline/models/{disease}"): _READERS,
    ("GET", "/offline/models/{disease}/{version}/{file}"): _READERS,
    ("POST", "/offline/readings/{disease}"): _READERS,
    # Readings are of patients: clinicians see those of their unit, and nobody else sees any.
    ("POST", "/diseases/{disease}/readings"): _READERS,
    ("POST", "/examinations"): _READERS,
    ("GET", "/examinations"): _READERS,
    ("GET", "/history"): _READERS,
    ("GET", "/worklist"): _READERS,
    ("GET", "/readings/events"): _READERS,
    ("GET", "/opinions"): _READERS,
    ("GET", "/readings/{prediction}"): _READERS,
    ("GET", "/readings/{prediction}/next"): _READERS,
    ("GET", "/readings/{prediction}/previous"): _READERS,
    ("GET", "/readings/{prediction}/thumbnail"): _READERS,
    ("POST", "/readings/{prediction}/reviews"): _READERS,
    ("GET", "/worklist.csv"): _READERS,
    ("GET", "/readings/{prediction}.json"): _READERS,
    ("GET", "/readings/{prediction}/report.pdf"): _READERS,
    ("GET", "/readings/{prediction}/image"): _READERS,
    ("GET", "/readings/{prediction}/heatmap"): _READERS,
    ("GET", "/readings/{prediction}/dicom"): _READERS,
    ("GET", "/batches"): _READERS,
    ("POST", "/batches"): _READERS,
    ("GET", "/batches/{batch}"): _READERS,
    ("GET", "/batches/{batch}.csv"): _READERS,
    ("GET", "/batches/{batch}.json"): _READERS,
    ("GET", "/batches/{batch}/events"): _READERS,
    ("GET", "/batches/{batch}/files"): _READERS,
    ("POST", "/batches/{batch}/files/{number}"): _READERS,
    ("POST", "/batches/{batch}/archive"): _READERS,
    ("POST", "/batches/{batch}/close"): _READERS,
    ("POST", "/batches/{batch}/retry"): _READERS,
    ("GET", "/batches/{batch}/cancel"): _READERS,
    ("POST", "/batches/{batch}/cancel"): _READERS,
    ("GET", "/batches/{batch}/delete"): _READERS,
    ("POST", "/batches/{batch}/delete"): _READERS,
    ("GET", "/readings/{prediction}/delete"): _READERS,
    ("POST", "/readings/{prediction}/delete"): _READERS,
    # Accounts and the audit trail.
    ("GET", "/users"): _ADMINS,
    ("POST", "/users"): _ADMINS,
    ("POST", "/users/{user}"): _ADMINS,
    ("POST", "/users/{user}/invitation"): _ADMINS,
    ("GET", "/audit"): _AUDITORS,
    ("GET", "/audit/export"): _AUDITORS,
}
