"""The versions of a disease's model: which there are, what was done to them, two side by side."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response

from diagnosis.contracts import DiseaseView, VersionList
from diagnosis.errors import (
    AlreadyAgreed,
    ModelRefused,
    ModelUnavailable,
    NotUnderReview,
    ReauthenticationNeeded,
    UnknownVersion,
)
from web_ui.caller import Caller
from web_ui.card_compare import Comparison
from web_ui.card_view import CardView
from web_ui.context import Asking, Context, DiseaseId, In
from web_ui.forms import Posted
from web_ui.signing_in import go, refused

router = APIRouter(prefix="/diseases/{disease}")

#: More cards than this are not opened for one page; older versions are listed without figures.
_MOST_CARDS = 12

VersionNumber = Annotated[str, Path(pattern=r"^[1-9][0-9]{0,5}$")]
ChosenVersion = Annotated[str, Query(pattern=r"^([1-9][0-9]{0,5})?$")]


@router.get("/versions")
async def versions(context: In, caller: Asking, disease: DiseaseId) -> Response:
    """Every version with its figures, the newest first, and the history that made one live."""
    return context.page(caller, "versions.html", **await _values(context, caller, disease))


@router.post("/versions/{version}/lift")
async def lift(
    context: In, caller: Asking, disease: DiseaseId, version: VersionNumber, _: Posted
) -> Response:
    """Agree that a version that was stopped answers again; it takes two people."""
    place = f"/diseases/{disease}/versions"
    try:
        await context.api.lift(caller, disease, version)
    except ReauthenticationNeeded as error:
        context.note_refusal(error)
        return go(f"/confirm?next={place}")
    except (AlreadyAgreed, NotUnderReview) as error:
        values = await _values(context, caller, disease)
        return refused(context, caller, "versions.html", error, **values)
    return go(place)


async def _values(context: Context, caller: Caller, disease: str) -> dict[str, Any]:
    described = await context.api.disease(caller, disease)
    listed = await context.api.versions(caller, disease)
    newest = tuple(reversed(listed.items))
    cards = {
        one.version: await _card(context, caller, disease, one.version)
        for one in newest[:_MOST_CARDS]
    }
    return {
        "page": "start",
        "disease": described,
        "listed": listed,
        "versions": newest,
        "cards": cards,
        "pair": _pair(listed),
    }


@router.get("/versions/{version}")
async def version_card(
    context: In, caller: Asking, disease: DiseaseId, version: VersionNumber
) -> Response:
    """The card of one version, live or not."""
    described = await context.api.disease(caller, disease)
    listed = await context.api.versions(caller, disease)
    found = await context.api.version_card(caller, disease, version)
    role = next((one.role for one in listed.items if one.version == version), "published")
    return show_card(context, caller, described, CardView.of(found), role)


def show_card(
    context: Context, caller: Caller, disease: DiseaseView, card: CardView, role: str
) -> Response:
    """The page of a card; `role` is what its version is at the moment."""
    return context.page(caller, "card.html", page="start", disease=disease, card=card, role=role)


@router.get("/compare")
async def compare(
    context: In,
    caller: Asking,
    disease: DiseaseId,
    a: ChosenVersion = "",
    b: ChosenVersion = "",
) -> Response:
    """Two versions side by side; without a choice the live one beside the newest other."""
    described = await context.api.disease(caller, disease)
    listed = await context.api.versions(caller, disease)
    known = {one.version for one in listed.items}
    usual = _pair(listed)
    first, second = a or (usual[0] if usual else ""), b or (usual[1] if usual else "")
    if {first, second} - known - {""}:
        raise UnknownVersion
    comparison = None
    if first and second and first != second:
        one = await context.api.version_card(caller, disease, first)
        other = await context.api.version_card(caller, disease, second)
        comparison = Comparison.of(one, other)
    return context.page(
        caller,
        "compare.html",
        page="start",
        disease=described,
        versions=tuple(reversed(listed.items)),
        first=first,
        second=second,
        comparison=comparison,
    )


async def _card(context: Context, caller: Caller, disease: str, version: str) -> CardView | None:
    """A version's card; None where it cannot be read at the moment, which hides no other."""
    try:
        return CardView.of(await context.api.version_card(caller, disease, version))
    except (ModelRefused, ModelUnavailable, UnknownVersion) as error:
        context.note_refusal(error)
        return None


def _pair(listed: VersionList) -> tuple[str, str] | None:
    """The two versions that one would compare first: the live one, and the newest other."""
    names = [one.version for one in listed.items]
    if len(names) < 2:
        return None
    live = listed.live if listed.live in names else names[-2]
    other = next(one for one in reversed(names) if one != live)
    assert live is not None
    return live, other
