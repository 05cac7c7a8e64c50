"""What every error carries, and the one that the caller can mend."""

from typing import ClassVar


class SightlineError(Exception):
    """Base of every error Sightline raises on purpose.

    Class attributes: `code` (stable, kebab-case), `status` (HTTP), `title` (short, constant),
    `detail` (default sentence), `remedy` (what to do, a sentence), `retry_after` (seconds or None).
    """

    code: ClassVar[str] = "internal-error"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Something went wrong on our side"
    default_detail: ClassVar[str] = "The service could not finish this request."
    default_remedy: ClassVar[str] = (
        "Try again; if it happens again, tell whoever runs this service."
    )
    retry_after: ClassVar[int | None] = None

    def __init__(
        self, detail: str | None = None, *, remedy: str | None = None, cause: str | None = None
    ) -> None:
        self.detail = detail or self.default_detail
        self.remedy = remedy or self.default_remedy
        self.cause = cause
        super().__init__(self.detail if cause is None else f"{self.detail} ({cause})")


class InputRefused(SightlineError):
    """What was sent cannot be used; sending it again unchanged will not help."""

    code = "input-refused"
    status = 422
    title = "This request cannot be used"
