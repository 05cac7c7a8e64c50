"""What a browser is told it may do with our pages, and which posts are refused."""

from urllib.parse import urlsplit

from fastapi import Request

from diagnosis.errors import InputRefused

_POLICY = (
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    # data: is Bootstrap's arrows and ticks; blob: is the preview of a chosen image.
    "img-src 'self' data: blob:",
    "font-src 'self'",
    "connect-src 'self'",
    "form-action 'self'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
)
CONTENT_SECURITY_POLICY = "; ".join(_POLICY)

#: Sent with every answer of the pages; Nginx sends the same with the error pages it serves itself.
HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(self), geolocation=(), microphone=(), payment=(), usb=()",
    # The address of a reading stays in the house, and posts still carry their origin.
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}

_SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}


class CrossSiteRequest(InputRefused):
    """A form of another site tried to post to a page."""

    code = "cross-site-request"
    status = 403
    title = "This was sent from another site"
    default_detail = "The request came from a page of another site and was not carried out."
    default_remedy = "Open the page here and send it again."


async def refuse_cross_site(request: Request) -> None:
    """A dependency of every route: a post must come from one of our own pages.

    A browser says where a post comes from in `Sec-Fetch-Site` or, on plain HTTP, in `Origin`.
    A client that sends neither is no browser, and nobody's session can ride on it.

    Raises CrossSiteRequest.
    """
    if request.method in _SAFE_METHODS:
        return
    site = request.headers.get("sec-fetch-site")
    if site is not None and site not in {"same-origin", "none"}:
        raise CrossSiteRequest(cause=f"sec-fetch-site {site}")
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise CrossSiteRequest(cause="the origin is not this host")
