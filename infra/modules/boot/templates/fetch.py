"""Fetch one object from S3 with the instance's role: fetch.py REGION BUCKET KEY SHA256 FILE.

Only the standard library, because nothing is installed yet; AWS's Signature Version 4 by hand.
"""

import datetime as dt
import hashlib
import hmac
import json
import os
import sys
import time
from pathlib import Path
from urllib.parse import quote, urlsplit
from urllib.request import Request, urlopen

METADATA = "http://169.254.169.254/latest/"
TRIES = 30
EMPTY = hashlib.sha256(b"").hexdigest()


def metadata(path: str) -> str:
    lifetime = {"X-aws-ec2-metadata-token-ttl-seconds": "300"}
    asked = Request(METADATA + "api/token", method="PUT", headers=lifetime)
    with urlopen(asked, timeout=5) as answer:
        token = {"X-aws-ec2-metadata-token": answer.read().decode()}
    with urlopen(Request(METADATA + "meta-data/" + path, headers=token), timeout=5) as answer:
        return str(answer.read().decode())


def signed(region: str, bucket: str, key: str) -> Request:
    role = metadata("iam/security-credentials/").split()[0]
    who = json.loads(metadata(f"iam/security-credentials/{role}"))
    base = os.environ.get("AWS_ENDPOINT_URL", f"https://s3.{region}.amazonaws.com")
    path = f"/{bucket}/{quote(key)}"
    stamp = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%SZ")
    headers = {
        "host": urlsplit(base).netloc,
        "x-amz-content-sha256": EMPTY,
        "x-amz-date": stamp,
        "x-amz-security-token": who["Token"],
    }
    names = ";".join(headers)
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    digest = hashlib.sha256(f"GET\n{path}\n\n{lines}\n{names}\n{EMPTY}".encode()).hexdigest()
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    proof = f"AWS4{who['SecretAccessKey']}".encode()
    for part in (*scope.split("/"), f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}"):
        proof = hmac.new(proof, part.encode(), hashlib.sha256).digest()
    headers["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={who['AccessKeyId']}/{scope},"
        f" SignedHeaders={names}, Signature={proof.hex()}"
    )
    return Request(base + path, headers=headers)


def fetch(region: str, bucket: str, key: str, sha256: str, file: str) -> None:
    seen = hashlib.sha256()
    with urlopen(signed(region, bucket, key), timeout=60) as answer, Path(file).open("wb") as out:
        while piece := answer.read(1 << 20):
            seen.update(piece)
            out.write(piece)
    if seen.hexdigest() != sha256:
        raise SystemExit(f"The bundle is not the one that was released: {seen.hexdigest()}")


def main(arguments: list[str]) -> None:
    for left in reversed(range(TRIES)):
        try:
            fetch(*arguments)
        except OSError as error:  # the network, or a role that AWS does not know yet
            if left == 0:
                raise
            sys.stderr.write(f"fetch: {type(error).__name__}, once more\n")
            time.sleep(5)
        else:
            return


if __name__ == "__main__":
    main(sys.argv[1:])
