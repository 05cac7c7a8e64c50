"""What every service's application does alike, whatever framework it is written in."""

from diagnosis.telemetry import AsgiApp, Receive, Scope, Send


class HeadAsGet:
    """ASGI middleware: answers HEAD as GET, wherever GET is answered.

    The server itself leaves the body out; it goes by the request as it came.
    """

    def __init__(self, app: AsgiApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}
        await self.app(scope, receive, send)
