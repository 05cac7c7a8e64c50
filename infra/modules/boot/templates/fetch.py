"""Fetch one object from S3 with the instance's role: fetch.py REGION BUCKET KEY SHA256 FILE.

Only the standard library, because nothing is installed yet.
"""

import datetime
import hashlib
import hmac
import json
import os
import sys
import time
import urllib.parse
import urllib.request

METADATA = "http://169.254.169.254/latest/"
TRIES = 30


def metadata(path):
    asked = urllib.request.Request(
        METADATA + "api/token",
        method="PUT",
        headers={"X-aws-ec2-metadata-token-ttl-seconds": "300"},
    )
    with urllib.request.urlopen(asked, timeout=5) as answer:
        token = answer.read().decode()
    asked = urllib.request.Request(
        METADATA + "meta-data/" + path, headers={"X-aws-ec2-metadata-token": token}
    )
    with urllib.request.urlopen(asked, timeout=5) as answer:
        return answer.read().decode()


def signed(region, bucket, key):
    """The request, signed as AWS's Signature Version 4 wants it."""
    role = metadata("iam/security-credentials/").split()[0]
    who = json.loads(metadata("iam/security-credentials/" + role))
    base = os.environ.get("AWS_ENDPOINT_URL", "https://s3." + region + ".amazonaws.com")
    path = "/" + bucket + "/" + urllib.parse.quote(key)
    stamp = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    empty = hashlib.sha256(b"").hexdigest()
    headers = {
        "host": urllib.parse.urlsplit(base).netloc,
        "x-amz-content-sha256": empty,
        "x-amz-date": stamp,
        "x-amz-security-token": who["Token"],
    }
    names = ";".join(headers)
    lines = "".join(name + ":" + value + "\n" for name, value in headers.items())
    request = "\n".join(("GET", path, "", lines, names, empty))
    scope = "/".join((stamp[:8], region, "s3", "aws4_request"))
    digest = hashlib.sha256(request.encode()).hexdigest()
    secret = ("AWS4" + who["SecretAccessKey"]).encode()
    for part in (*scope.split("/"), "\n".join(("AWS4-HMAC-SHA256", stamp, scope, digest))):
        secret = hmac.new(secret, part.encode(), hashlib.sha256).digest()
    headers["Authorization"] = (
        "AWS4-HMAC-SHA256 Credential=" + who["AccessKeyId"] + "/" + scope
        + ", SignedHeaders=" + names + ", Signature=" + secret.hex()
    )
    return urllib.request.Request(base + path, headers=headers)


def fetch(region, bucket, key, sha256, file):
    seen = hashlib.sha256()
    with urllib.request.urlopen(signed(region, bucket, key), timeout=60) as answer, open(file, "wb") as out:
        while piece := answer.read(1 << 20):
            seen.update(piece)
            out.write(piece)
    if seen.hexdigest() != sha256:
        raise SystemExit("The bundle is not the one that was released: " + seen.hexdigest())


def main(arguments):
    for left in reversed(range(TRIES)):
        try:
            return fetch(*arguments)
        except OSError as error:  # the network, or a role that AWS does not know yet
            if left == 0:
                raise
            sys.stderr.write("fetch: " + type(error).__name__ + ", once more\n")
            time.sleep(5)


if __name__ == "__main__":
    main(sys.argv[1:])
