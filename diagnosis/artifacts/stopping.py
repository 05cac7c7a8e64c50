"""The stop rule: a model that drifted is taken out of use until two people have looked at it.

It becomes a shadow, and no version takes its place by itself: an older one would be held to the
same readings. Another version may be promoted meanwhile. The stopped one comes back when two
different people have said so, one as an engineer and one as a clinician: the cause is the one's to
judge, the harm the other's.
"""

from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Literal

from pydantic import Field

from diagnosis.artifacts.card import Record, Version
from diagnosis.contracts import DriftStatistic
from diagnosis.errors import AlreadyAgreed, NotUnderReview, RegistryError

#: How long a consent stands. What somebody found out weeks ago says nothing of what is sent now.
CONSENT_STANDS = timedelta(days=7)

#: What somebody agrees as. Somebody with both roles counts as whichever is still wanted.
Lifter = Literal["engineer", "clinician"]
LIFTERS: tuple[Lifter, ...] = ("engineer", "clinician")


class Consent(Record):
    """Somebody agrees that a stopped model answers again."""

    by: str = Field(min_length=1, max_length=80)
    """Their account."""
    roles: tuple[Lifter, ...] = Field(min_length=1)
    at: datetime

    @property
    def until(self) -> datetime:
        """When it lapses."""
        return self.at + CONSENT_STANDS


class UnderReview(Record):
    """A version that was stopped, and who has agreed so far that it comes back."""

    version: Version
    since: datetime
    past: tuple[DriftStatistic, ...] = Field(min_length=1)
    """What was past its limit."""
    consents: tuple[Consent, ...] = ()

    def at(self, time: datetime) -> "UnderReview":
        """How it stands at a time: without the consents that have lapsed by then."""
        standing = tuple(one for one in self.consents if time < one.until)
        return self.model_copy(update={"consents": standing})

    def with_consent(self, by: str, roles: tuple[str, ...]) -> "UnderReview":
        """The same with one more person's consent, and without those that have lapsed.

        Raises:
            AlreadyAgreed: this person has given it before, and it stands.
            RegistryError: none of the roles counts.
        """
        time = datetime.now(UTC)
        standing = self.at(time).consents
        if by in {one.by for one in standing}:
            raise AlreadyAgreed
        counting = tuple(one for one in LIFTERS if one in roles)
        if not counting:
            raise RegistryError("It takes an engineer and a clinician to lift a stop.")
        one = Consent(by=by, roles=counting, at=time)
        return self.model_copy(update={"consents": (*standing, one)})

    @property
    def lifted(self) -> bool:
        """Whether two different people have agreed, one for each role."""
        engineer, clinician = LIFTERS
        return any(
            engineer in a.roles and clinician in b.roles for a, b in permutations(self.consents, 2)
        )

    @property
    def until(self) -> datetime | None:
        """Until when one more consent, of a role that is wanted, lifts it; None: one is too few."""
        return max((one.until for one in self.consents), default=None)

    @property
    def wanted(self) -> tuple[Lifter, ...]:
        """The roles of which somebody has still to agree; empty once it is lifted."""
        if self.lifted:
            return ()
        if len(self.consents) == 1 and len(self.consents[0].roles) == len(LIFTERS):
            return LIFTERS
        given = {role for one in self.consents for role in one.roles}
        return tuple(role for role in LIFTERS if role not in given) or LIFTERS


def review_of(reviews: tuple[UnderReview, ...], version: str) -> UnderReview:
    """The review of a version.

    Raises:
        NotUnderReview: there is none.
    """
    for one in reviews:
        if one.version == version:
            return one
    raise NotUnderReview
