"""What is sent of an error: RFC 9457 `application/problem+json`."""

from typing import Self

from diagnosis.contracts.base import Wire
from diagnosis.errors import SightlineError


class FieldError(Wire):
    """Which field of a request was wrong, and how."""

    field: str
    detail: str


class Problem(Wire):
    """RFC 9457 `application/problem+json`."""

    type: str
    """`/problems/<code>`"""
    title: str
    status: int
    detail: str
    code: str
    remedy: str
    request_id: str | None = None
    errors: tuple[FieldError, ...] = ()

    @classmethod
    def of(
        cls,
        error: SightlineError,
        *,
        request_id: str | None = None,
        errors: tuple[FieldError, ...] = (),
    ) -> Self:
        """What is sent of an error: everything but its cause."""
        return cls(
            type=f"/problems/{error.code}",
            title=error.title,
            status=error.status,
            detail=error.detail,
            code=error.code,
            remedy=error.remedy,
            request_id=request_id,
            errors=errors,
        )
