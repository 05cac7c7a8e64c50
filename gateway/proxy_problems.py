"""What Nginx says when it has to answer by itself, because no service could.

The texts are those of `diagnosis.errors` wherever the error is one that the services know too, so
that a client meets one wording, whoever answers.
"""

from dataclasses import dataclass

from diagnosis.contracts import Problem
from diagnosis.errors import (
    FileTooLarge,
    InvalidRequest,
    MethodNotAllowed,
    NoSuchResource,
    NotSignedIn,
    ServiceUnavailable,
    SightlineError,
)


@dataclass(frozen=True)
class ProxyProblem:
    """One answer of the proxy's own.

    `status` is sent; `raised_by` are the statuses that Nginx uses inside for it (497 and the like
    are its own); `retry_after` is in seconds, None where trying again does not help. `page` names
    the answer where the status alone does not: the only status of Nginx's own that leads to it.
    """

    status: int
    code: str
    title: str
    detail: str
    remedy: str
    retry_after: int | None = None
    raised_by: tuple[int, ...] = ()
    page: int = 0

    def __post_init__(self) -> None:
        if not self.page:
            object.__setattr__(self, "page", self.status)

    @property
    def triggers(self) -> tuple[int, ...]:
        """Every status, Nginx's own ones included, that leads to this answer."""
        return (self.page, *self.raised_by)

    def as_json(self, request_id: str) -> str:
        """The problem as the body of an answer, in one line."""
        return Problem(
            type=f"/problems/{self.code}",
            title=self.title,
            status=self.status,
            detail=self.detail,
            code=self.code,
            remedy=self.remedy,
            request_id=request_id,
        ).model_dump_json()


def _of(
    error: type[SightlineError],
    *,
    status: int | None = None,
    raised_by: tuple[int, ...] = (),
) -> ProxyProblem:
    return ProxyProblem(
        status=status or error.status,
        code=error.code,
        title=error.title,
        detail=error.default_detail,
        remedy=error.default_remedy,
        retry_after=error.retry_after,
        raised_by=raised_by,
    )


#: Every status that Nginx can produce by itself, in order.
PROXY_PROBLEMS: tuple[ProxyProblem, ...] = (
    ProxyProblem(
        400,
        InvalidRequest.code,
        InvalidRequest.title,
        "The request is not well-formed HTTP.",
        "Send the request with a browser or an ordinary HTTP client.",
    ),
    # To people it is a way in, see the template.
    _of(NotSignedIn),
    # 403 is what Nginx says of a folder without an index: there is nothing to see there.
    _of(NoSuchResource, raised_by=(403,)),
    _of(MethodNotAllowed),
    _of(FileTooLarge),
    ProxyProblem(
        414,
        "address-too-long",
        "The address is too long",
        "The address is longer than any that Sightline uses.",
        "Begin at the start page, or compare the request with the API description.",
    ),
    ProxyProblem(
        421,
        "unknown-host",
        "This host name is not served here",
        "The request names a host that this server does not answer for.",
        "Use the address that was printed when Sightline started.",
    ),
    ProxyProblem(
        429,
        "too-many-requests",
        "Too many requests at once",
        "More requests came from this address than are taken at once.",
        "Wait for a few seconds and send fewer requests at a time.",
        retry_after=2,
    ),
    ProxyProblem(
        431,
        "headers-too-large",
        "The request's headers are too large",
        "The headers of the request are larger than any that Sightline uses.",
        "Delete the cookies of this site and try again.",
        raised_by=(494,),
    ),
    ProxyProblem(
        501,
        "not-implemented",
        "This kind of request is not understood",
        "The request uses a part of HTTP that Sightline does not take.",
        "Send the file as multipart form data, as the API description shows.",
    ),
    _of(ServiceUnavailable, status=502),
    # 500 is what Nginx says where the identity service gives no answer of use.
    _of(ServiceUnavailable, status=503, raised_by=(500,)),
    ProxyProblem(
        504,
        "service-timeout",
        "The answer took too long",
        "The service behind this address did not answer in good time.",
        ServiceUnavailable.default_remedy,
        retry_after=ServiceUnavailable.retry_after,
    ),
    ProxyProblem(
        403,
        "https-needed",
        "This must be sent over HTTPS",
        "The request came over plain HTTP, where others can read and change it on its way.",
        "Send it to the same address with https. Replace an API key that was sent with it.",
        page=497,
    ),
)
