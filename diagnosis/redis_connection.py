"""How Redis is reached: one way for every store, with deadlines and without secrets in errors.

Users are Redis' own (ACL), one a service; the address carries the name and the password:

    unix://USER:PASSWORD@/path/redis.sock      on one machine
    rediss://USER:PASSWORD@HOST:PORT           over TLS, between machines
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from diagnosis.errors import StoreUnavailable, TemporarilyUnavailable
from diagnosis.telemetry import span

#: Seconds after which an operation is given up, however many round trips it needs.
DEADLINE = 2.0

_CONNECTIONS = 16


def open_client(url: str, ca_file: Path | None = None) -> Redis:
    """A client that answers in bytes, of the Redis at `url`; whoever opens it closes it.

    Nothing is opened before the first use. A Redis that is away or hangs is given up after
    `DEADLINE` seconds and found again by itself when it is back. Nothing is tried twice: whoever
    asks is told at once and knows best whether to ask again.

    Args:
        url: `unix:///path`, `redis://` or `rediss://`, with user and password if there are any.
        ca_file: for `rediss://`: the authority (PEM) that signed the server's certificate; by
            default those that the system trusts. The name in the certificate is always checked.
    """
    # Without its name: Redis 7.0 has no command for that, so no user is allowed one.
    options: dict[str, Any] = {"driver_info": None}
    if url.startswith("rediss://"):
        options |= {
            "ssl_ca_certs": None if ca_file is None else str(ca_file),
            "ssl_cert_reqs": "required",
            "ssl_check_hostname": True,
        }
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=_CONNECTIONS,
        timeout=1.0,
        socket_connect_timeout=1.0,
        socket_timeout=DEADLINE,
        health_check_interval=30,
        retry=Retry(NoBackoff(), 0),
        **options,
    )
    return Redis.from_pool(pool)


@asynccontextmanager
async def answers(
    otherwise: type[TemporarilyUnavailable] = StoreUnavailable,
) -> AsyncIterator[None]:
    """Turn whatever keeps Redis from answering, or from answering in time, into one error.

    Raises:
        TemporarilyUnavailable: of the class `otherwise`.
    """
    try:
        with span("redis"):
            async with asyncio.timeout(DEADLINE):
                yield
    except (RedisError, TimeoutError) as error:
        # Of the message only its kind: a failed transaction's message quotes what was sent.
        raise otherwise(cause=f"redis: {type(error).__name__}") from error


def stream_entries(answer: Any) -> list[tuple[bytes, dict[bytes, bytes] | None]]:
    """The entries of the streams in an answer, which is a list or a mapping of streams."""
    streams = answer.items() if isinstance(answer, dict) else answer or ()
    found: list[tuple[bytes, dict[bytes, bytes] | None]] = []
    for _, entries in streams:
        # In the newer protocol the entries of a stream are a list in a list.
        nested = len(entries) == 1 and entries[0] and isinstance(entries[0][0], list | tuple)
        found += entries[0] if nested else entries
    return found
