"""What earlier versions stored is read by this one: rows, indexes, reviews, accounts, keys.

`stored/VERSION.json` holds every key that a version wrote into Redis, and what it would have
answered. A release adds a file and changes none: `python -m tests.contracts.test_stored`.
"""

import asyncio
import base64
import json
import random
import sys
import tempfile
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from diagnosis.contracts import Prediction, Review
from diagnosis.identity import Role
from diagnosis.results import RedisResults, connect
from gateway.identity import people
from gateway.identity.keys import Keys
from gateway.store import IdentityStore
from gateway.store import connect as connect_accounts
from tests.fixtures.predictions import make_prediction, make_review
from tests.fixtures.redis import RedisServer

ROOT = Path(__file__).parents[2]
FOLDER = Path(__file__).parent / "stored"
VERSIONS = sorted(FOLDER.glob("*.json"))


async def _store(results: RedisResults, accounts: IdentityStore) -> dict[str, Any]:
    """Store something of each kind; what is to be found again."""
    random.seed(1)
    readings = [
        make_prediction(),
        make_prediction(top=None),
        make_prediction(disease="skin_lesion", top="melanoma", classes=7),
    ]
    for reading in readings:
        await results.add(reading)
    review = make_review(readings[0])
    await results.add_review("default", review)
    account = await people.enter(accounts, time.time, name="ada", roles=(Role.CLINICIAN,))
    _, key = await Keys(accounts, time.time).make(
        account, "a script", (Role.CLINICIAN,), 4_000_000_000.0, _nobody_writes_down
    )
    return {
        "readings": [one.model_dump(mode="json") for one in readings],
        "reviews": [review.model_dump(mode="json")],
        "account": account.id,
        "key": key,
    }


async def _nobody_writes_down(_: object) -> None: ...


def _keys(client: Redis) -> list[dict[str, Any]]:
    found = []
    for key in sorted(client.keys("*")):
        kind = client.type(key).decode()
        read = {
            "string": lambda key: _text(client.get(key)),
            "zset": lambda key: [
                [_text(member), score]
                for member, score in client.zrange(key, 0, -1, withscores=True)
            ],
            "set": lambda key: sorted(_text(one) for one in client.smembers(key)),
            "list": lambda key: [_text(one) for one in client.lrange(key, 0, -1)],
        }[kind]
        found.append({"key": key.decode(), "type": kind, "value": read(key)})
    return found


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _put(client: Redis, one: dict[str, Any]) -> None:
    key, value, raw = one["key"], one["value"], base64.b64decode
    match one["type"]:
        case "string":
            client.set(key, raw(value))
        case "zset":
            client.zadd(key, {raw(member): score for member, score in value})
        case "set":
            client.sadd(key, *(raw(member) for member in value))
        case "list":
            client.rpush(key, *(raw(member) for member in value))


@pytest.fixture(params=VERSIONS, ids=lambda file: file.stem)
def stored(request: pytest.FixtureRequest) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(request.param.read_text())
    return read


async def test_what_an_earlier_version_stored_is_read(
    stored: dict[str, Any], redis_server: RedisServer
) -> None:
    with Redis.from_url(redis_server.admin_url) as client:
        client.flushall()
        for one in stored["keys"]:
            _put(client, one)
    expected = stored["expected"]
    readings = [Prediction.model_validate(one) for one in expected["readings"]]
    results = connect(redis_server.url)
    accounts = connect_accounts(redis_server.url_for("identity"))
    try:
        for reading in readings:
            assert await results.get("default", reading.id) == reading
        page = await results.list("default", limit=10)
        assert {one.id for one in page[0]} == {one.id for one in readings}
        of_one = await results.list("default", disease="skin_lesion", limit=10)
        assert [one.id for one in of_one[0]] == [readings[2].id]
        reviews = tuple(Review.model_validate(one) for one in expected["reviews"])
        assert await results.reviews("default", readings[0].id) == reviews
        account = await accounts.account_named("ada")
        assert account is not None
        assert account.id == expected["account"]
        found = await Keys(accounts, time.time).find(expected["key"])
        assert found is not None
        assert found[1].id == expected["account"]
    finally:
        await results.close()
        await accounts.close()


def test_there_is_a_file_of_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert version in {file.stem for file in VERSIONS}


async def _written() -> str:
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(Path(folder))
        server.start()
        try:
            results = connect(server.url)
            accounts = connect_accounts(server.url_for("identity"))
            expected = await _store(results, accounts)
            await results.close()
            await accounts.close()
            with Redis.from_url(server.admin_url) as client:
                stored = {"expected": expected, "keys": _keys(client)}
        finally:
            server.stop()
    return json.dumps(stored, indent=1) + "\n"


def main() -> None:
    """Write the file of this version, where there is none yet."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    file = FOLDER / f"{version}.json"
    if file.exists():
        sys.exit(f"{file.name} is there, and what a version stored does not change.")
    file.write_text(asyncio.run(_written()))


if __name__ == "__main__":
    main()
