"""Who reaches whom, tried with packets: the security groups of the applied stack as nftables rules.

Each group is a host of its own (a network namespace), and so are the internet and S3. Every host
tries every port of every other; what answers has to be the table below and nothing else. moto keeps
security groups and enforces none, so here the kernel does.
"""

import asyncio
import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.infra.bench import Bench
from tests.infra.parts import NotPossible

INSTANCES = ("edge", "web", "inference", "trainer", "monitoring")

#: From whom to whom: the ports that answer. All others stay silent.
TABLE: dict[tuple[str, str], set[int]] = {
    ("internet", "balancer"): {80, 443},
    ("balancer", "edge"): {80, 443},
    ("edge", "inner"): {3000, 8001, 8002, 8003},
    ("web", "inner"): {8002},
    ("inner", "web"): {8001, 8003},
    ("inner", "inference"): {8002},
    ("inner", "monitoring"): {3000},
    ("web", "redis"): {6379},
    ("inference", "redis"): {6379},
    ("trainer", "redis"): {6379},
    ("monitoring", "redis"): {6379},
    ("web", "files"): {2049},
    ("monitoring", "edge"): {9100, 9113},
    ("monitoring", "web"): {8001, 8003, 9100},
    ("monitoring", "inference"): {8002, 8005, 9100},
    ("monitoring", "trainer"): {9100, 9109},
    # Alerts go to a webhook, which the stack is given; the public balancer is as outside as that.
    ("monitoring", "internet"): {443},
    ("monitoring", "balancer"): {443},
    **{(one, "endpoints"): {443} for one in INSTANCES},
    **{(one, "s3"): {443} for one in INSTANCES},
}
#: Besides those of the table, what somebody might have left open.
PORTS = sorted({22, 5432, 8000, 8080, 9090, 9093}.union(*TABLE.values()))
#: Neither has a security group; who is let out to them is what is asked.
OUTSIDE = ("internet", "s3")
_PATIENCE_SECONDS = 1.5


def reachability(bench: Bench) -> None:
    """Every host tries every port of every other."""
    for tool in ("ip", "nft"):
        if shutil.which(tool, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None:
            raise NotPossible(f"{tool} is not installed")
    if os.geteuid() != 0:
        raise NotPossible("only root makes network namespaces")
    bench.apply()
    groups = bench.client("ec2").describe_security_groups(
        Filters=[{"Name": "tag:System", "Values": ["sightline"]}]
    )["SecurityGroups"]
    named = {
        one["GroupName"].removeprefix("sightline-dev-"): one
        for one in groups
        if one["GroupName"].startswith("sightline-dev-")
    }
    unknown = set(named) ^ ({name for pair in TABLE for name in pair} - set(OUTSIDE))
    if unknown:
        raise AssertionError(f"the table and the stack differ in {sorted(unknown)}")
    hosts = {name: f"10.99.0.{n}" for n, name in enumerate((*named, *OUTSIDE), start=10)}
    with _namespaces(hosts) as inside:
        ids = {group["GroupId"]: hosts[name] for name, group in named.items()}
        for name, group in named.items():
            _load(inside[name], rules_of(group, ids, hosts))
        found = _tried(inside, hosts)
    wrong = [
        f"{start} -> {end}: {sorted(found.get((start, end), set()))},"
        f" not {sorted(TABLE.get((start, end), set()))}"
        for start in hosts
        for end in hosts
        # What lies outside talks to itself as it likes, and S3 begins nothing.
        if start not in (end, "s3")
        and (start, end) != ("internet", "s3")
        and found.get((start, end), set()) != TABLE.get((start, end), set())
    ]
    if wrong:
        raise AssertionError("; ".join(wrong))


def rules_of(group: dict[str, Any], ids: dict[str, str], hosts: dict[str, str]) -> str:
    """A security group as nftables: both ways closed, answers let through, and the group's rules.

    Args:
        group: as EC2 describes it.
        ids: address of the host of each group.
        hosts: address of each host.
    """

    def lines(rules: list[dict[str, Any]], side: str) -> Iterator[str]:
        for rule in rules:
            ports = f"{rule['FromPort']}-{rule['ToPort']}" if "FromPort" in rule else "0-65535"
            peers = [ids[pair["GroupId"]] for pair in rule.get("UserIdGroupPairs", [])]
            peers += [one["CidrIp"] for one in rule.get("IpRanges", [])]
            peers += [hosts["s3"] for _ in rule.get("PrefixListIds", [])]
            for peer in peers:
                what = "" if rule["IpProtocol"] == "-1" else f"tcp dport {ports} "
                yield f"    ip {side} {peer} {what}accept"

    return "\n".join(
        (
            "table inet group {",
            "  chain in { type filter hook input priority 0; policy drop;",
            '    iifname "lo" accept',
            "    ct state established,related accept",
            *lines(group["IpPermissions"], "saddr"),
            "  }",
            "  chain out { type filter hook output priority 0; policy drop;",
            '    oifname "lo" accept',
            "    ct state established,related accept",
            *lines(group["IpPermissionsEgress"], "daddr"),
            "  }",
            "}",
        )
    )


@contextmanager
def _namespaces(hosts: dict[str, str]) -> Iterator[dict[str, str]]:
    """A namespace a host, all on one bridge that has a namespace of its own; their names."""
    run = secrets.token_hex(2)
    hub = f"sl{run}-hub"
    inside = {name: f"sl{run}-{name}" for name in hosts}
    try:
        _ip("netns", "add", hub)
        _ip("-n", hub, "link", "add", "bridge", "type", "bridge")
        _ip("-n", hub, "link", "set", "bridge", "up")
        for number, (name, address) in enumerate(hosts.items()):
            _ip("netns", "add", inside[name])
            port = f"sl{run}p{number}"
            _ip("link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", inside[name])
            _ip("link", "set", port, "netns", hub)
            _ip("-n", hub, "link", "set", port, "master", "bridge", "up")
            _ip("-n", inside[name], "addr", "add", f"{address}/24", "dev", "eth0")
            _ip("-n", inside[name], "link", "set", "eth0", "up")
            _ip("-n", inside[name], "link", "set", "lo", "up")
        yield inside
    finally:
        for name in (*inside.values(), hub):
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        # A container without the right to make them is no fault of the stack.
        raise NotPossible(f"no network namespaces: {done.stderr.strip()}", tool_is_there=True)


def _load(namespace: str, rules: str) -> None:
    subprocess.run(
        ["ip", "netns", "exec", namespace, "nft", "-f", "-"], input=rules, text=True, check=True
    )


def _tried(inside: dict[str, str], hosts: dict[str, str]) -> dict[tuple[str, str], set[int]]:
    """What answers, from every host: each listens on all ports, then one after the other tries."""
    program = [sys.executable, "-m", __name__]
    listening = [
        subprocess.Popen(
            ["ip", "netns", "exec", name, *program, "listen"], stdout=subprocess.PIPE, text=True
        )
        for name in inside.values()
    ]
    try:
        for one in listening:
            assert one.stdout is not None
            one.stdout.readline()  # it listens
        found: dict[tuple[str, str], set[int]] = {}
        for start, name in inside.items():
            others = {end: address for end, address in hosts.items() if end != start}
            done = subprocess.run(
                ["ip", "netns", "exec", name, *program, "try", json.dumps(others)],
                capture_output=True,
                text=True,
                check=True,
            )
            for end, port in json.loads(done.stdout):
                found.setdefault((start, end), set()).add(port)
        return found
    finally:
        for one in listening:
            one.kill()
            one.wait()


async def _listen() -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    for port in PORTS:
        await asyncio.start_server(greet, "0.0.0.0", port)
    sys.stdout.write("listening\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


async def _try(others: dict[str, str]) -> None:
    async def reached(name: str, address: str, port: int) -> tuple[str, int] | None:
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                _, writer = await asyncio.open_connection(address, port)
        except OSError:
            return None
        writer.close()
        return name, port

    tries = [reached(name, at, port) for name, at in others.items() for port in PORTS]
    answered = [one for one in await asyncio.gather(*tries) if one is not None]
    sys.stdout.write(json.dumps(answered))


if __name__ == "__main__":
    if sys.argv[1] == "listen":
        asyncio.run(_listen())
    else:
        asyncio.run(_try(json.loads(sys.argv[2])))
