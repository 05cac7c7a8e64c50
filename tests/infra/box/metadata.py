"""EC2's instance metadata for a box, version 2 alone: a read without a token is refused."""

import json
import secrets
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

KEYS = {
    "Code": "Success",
    "Type": "AWS-HMAC",
    "AccessKeyId": "test",
    "SecretAccessKey": "test",
    "Token": "test",
    "LastUpdated": "2026-01-01T00:00:00Z",
    "Expiration": "2099-01-01T00:00:00Z",
}
TREE: dict[str, str] = {
    "meta-data/instance-id": "i-0123456789abcdef0",
    "meta-data/placement/region": "eu-west-1",
    "meta-data/placement/availability-zone": "eu-west-1a",
    "meta-data/iam/security-credentials/": "role",
    "meta-data/iam/security-credentials/role": json.dumps(KEYS),
    "dynamic/instance-identity/document": json.dumps({"region": "eu-west-1"}),
}
#: What differs between boxes, such as their ids.
TOLD = Path("/opt/box/metadata.json")
TOKENS: set[str] = set()


class Metadata(BaseHTTPRequestHandler):
    """Tokens by PUT, everything else by GET with one."""

    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        """A new token."""
        lifetime = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds")
        if self.path != "/latest/api/token" or not lifetime:
            return self._answer(400, "")
        token = secrets.token_hex(16)
        TOKENS.add(token)
        return self._answer(200, token)

    def do_GET(self) -> None:
        """What lies under a path."""
        if self.headers.get("X-aws-ec2-metadata-token") not in TOKENS:
            return self._answer(401, "")
        found = TREE.get(self.path.removeprefix("/latest/"))
        return self._answer(404 if found is None else 200, found or "")

    def _answer(self, status: int, text: str) -> None:
        content = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        lifetime = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds")
        if lifetime:
            self.send_header("X-aws-ec2-metadata-token-ttl-seconds", lifetime)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Nothing is logged."""


if __name__ == "__main__":
    TREE |= json.loads(TOLD.read_text())
    ThreadingHTTPServer(("169.254.169.254", 80), Metadata).serve_forever()
