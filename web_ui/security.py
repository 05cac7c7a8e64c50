"""What a browser is told it may do with our pages."""


def policy(script: str = "'self'") -> str:
    """The content security policy of a page; `script` is for a page that needs more than ours."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {script}",
            "style-src 'self'",
            # data: is Bootstrap's arrows and ticks; blob: is the preview of a chosen image.
            "img-src 'self' data: blob:",
            "font-src 'self'",
            "connect-src 'self'",
            "manifest-src 'self'",
            "worker-src 'self'",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        )
    )


CONTENT_SECURITY_POLICY = policy()

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
