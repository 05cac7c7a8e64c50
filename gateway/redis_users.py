"""Who may do what in Redis: one user a service, with the least it needs, as data.

The table below is all there is to say; `acl_file` writes it as Redis' ACL file. Nobody has EVAL,
CONFIG, KEYS, FLUSHALL or any other command that is not named here, and the user that Redis takes
for whoever gives no name (`default`) is off.

Needs Redis 7 or Valkey: there a user can have rights that hold for some keys only.
"""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from diagnosis.durable import replace_file

ACL_NAME = "users.acl"

#: Without a key: what asks whether the server lives, and what a transaction is made of.
_CONNECTING = ("ping", "multi", "exec", "discard")


@dataclass(frozen=True)
class Grant:
    """Commands, and the keys that they may be used on.

    Args:
        keys: a pattern with what may be done to such keys: `%R~` read, `%W~` write, `%RW~` both.
            Empty for commands without a key.
        commands: as Redis names them; `xinfo|stream` is one subcommand.
    """

    keys: str
    commands: tuple[str, ...]


@dataclass(frozen=True)
class RedisUser:
    """A service, and all that it may do."""

    name: str
    purpose: str
    grants: tuple[Grant, ...]


_AUDITED = Grant("%W~audit:events", ("xadd",))

USERS = (
    RedisUser(
        "inference",
        "keeps, lists and deletes readings, what is said of them, and batches; adds audit events",
        (
            Grant(
                "%RW~results:*",
                (
                    *("setnx", "get", "getdel", "mget", "exists", "watch", "unwatch"),
                    *("zadd", "zrem", "zrevrangebylex", "zrangebylex", "zlexcount"),
                    *("zcard", "zmscore", "sadd", "srem"),
                ),
            ),
            # Nothing that was said can be changed, only deleted with its reading.
            Grant("%RW~results:{*}:reviews:*", ("rpush", "lrange", "del")),
            Grant("%RW~results:{*}:once:*", ("set", "del")),
            # The service hands batches in, and its workers take them out.
            Grant(
                "%RW~queue:*",
                (
                    *("get", "set", "del", "exists", "incrby", "watch", "unwatch"),
                    *("hset", "hget", "hmget", "hgetall", "hdel", "sadd", "smembers"),
                    *("zadd", "zrem", "zcard", "zmscore", "zrange", "zrangebyscore"),
                    *("zrevrangebylex", "xadd", "xlen", "xrange", "xack", "xdel", "xreadgroup"),
                    *("xautoclaim", "xclaim", "xpending", "xgroup|create"),
                ),
            ),
            # Which readings are to be looked at for drift, and how it stands.
            Grant(
                "%RW~drift:*",
                ("rpush", "ltrim", "llen", "lrange", "get", "set", "watch", "unwatch"),
            ),
            _AUDITED,
        ),
    ),
    RedisUser(
        "trainer",
        "adds readings of a batch, and says how far that is; sees and deletes none",
        (
            Grant("%W~results:*", ("setnx", "zadd", "sadd")),
            Grant("%W~queue:*", ("hset", "zadd", "zrem", "sadd")),
            # What it did, for the services to count.
            Grant("%W~drift:posted", ("rpush", "ltrim")),
        ),
    ),
    RedisUser(
        "identity",
        "keeps accounts, sessions and keys; adds audit events",
        (
            Grant(
                "%RW~identity:*",
                (
                    *("set", "get", "getdel", "mget", "exists", "del", "expire"),
                    *("sadd", "srem", "smembers", "zadd", "zrem", "zrange", "zremrangebyscore"),
                    *("watch", "unwatch"),
                ),
            ),
            _AUDITED,
        ),
    ),
    RedisUser(
        "chainer",
        "takes audit events from the stream once they are in the chain",
        (
            Grant(
                "%RW~audit:events",
                ("xadd", "xgroup|create", "xreadgroup", "xack", "xdel", "xinfo|stream"),
            ),
        ),
    ),
    RedisUser(
        "exporter",
        "reads the server's figures for monitoring; sees no key",
        (
            Grant("%R~audit:events", ("xlen",)),
            Grant("", ("info", "dbsize", "slowlog|len", "latency|latest", "latency|histogram")),
        ),
    ),
)

#: Nobody can be this user, because it is off. Its rights are those that Redis replays its own
#: append-only file with: without them it would leave out every transaction at the next start.
DEFAULT_USER = "user default reset off ~* &* +@all"

_PASSWORD = re.compile(r"^user (\w+) .*?>([0-9a-f]{64})(?: |$)", re.MULTILINE)


def rule_of(user: RedisUser, password: str) -> str:
    """The user's line of the ACL file. A grant beyond the first is a selector: a right that holds
    for its own keys alone, so that what is meant for readings cannot be used on the stream."""
    return f"user {user.name} reset on >{password} {rights_of(user)}"


def rights_of(user: RedisUser) -> str:
    """What the user may do, without name and password, as Redis' ACL rules."""
    first, *others = user.grants
    rights = [
        "-@all",
        *(f"+{command}" for command in _CONNECTING),
        *_rights(first),
        *(f"({' '.join(_rights(other))})" for other in others),
    ]
    return " ".join(rights)


def acl_file(passwords: Mapping[str, str]) -> str:
    """The content of the ACL file for these passwords, one of every user."""
    lines = [DEFAULT_USER, *(rule_of(user, passwords[user.name]) for user in USERS)]
    return "\n".join(lines) + "\n"


def write_acl_file(path: Path) -> dict[str, str]:
    """Write the ACL file, for its owner's eyes only, and return each user's password.

    Passwords are made on the first start and kept; the rights are always those of this version.

    Raises:
        OSError: the file can be neither read nor written.
    """
    known = passwords_in(path) if path.exists() else {}
    passwords = {user.name: known.get(user.name) or secrets.token_hex(32) for user in USERS}
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    replace_file(path, acl_file(passwords).encode("ascii"), private=True)
    return passwords


def passwords_in(path: Path) -> dict[str, str]:
    """The password of each user in an ACL file that `write_acl_file` wrote.

    Raises:
        OSError: there is none, or it cannot be read.
    """
    return dict(_PASSWORD.findall(path.read_text("ascii")))


def socket_url(socket: Path, user: str, password: str) -> str:
    """The address of the Redis at a unix socket for one of its users."""
    return f"unix://{user}:{password}@{quote(str(socket))}"


def _rights(grant: Grant) -> tuple[str, ...]:
    keys = (grant.keys,) if grant.keys else ()
    return (*keys, *(f"+{command}" for command in grant.commands))
