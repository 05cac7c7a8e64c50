"""Runs a command where no packet can leave, and tells of every one that tried.

    python -m tests.e2e.no_egress COMMAND...

The command gets a network namespace of its own with a loopback and one interface to nowhere, which
every route leads to. What arrives there wanted to leave the machine; so did a question to a name
server on the loopback. A connection and a name that are asked for first must both be caught, or
nothing is concluded. The exit status is the command's, 3 where something tried to leave, 4 where
no namespace can be had, 5 where what was planted was not caught.
"""

import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

#: Exit statuses, so that no test takes one for another.
LEFT, NO_NAMESPACE, BLIND = 3, 4, 5
#: Reserved for documents; nobody has it.
PLANTED = ("203.0.113.7", 443)
PLANTED_NAME = "planted.invalid"

_ALL_PROTOCOLS, _IPV4, _IPV6 = 0x0003, 0x0800, 0x86DD
_TCP, _UDP = 6, 17
_DNS = 53
_INSIDE = "--inside"
_SETUP = (
    "ip link set lo up",
    "ip link add out type veth peer name nowhere",
    # Without ARP every packet is sent at once, to whoever it is for.
    "ip link set out arp off up",
    "ip link set nowhere arp off up",
    "ip address add 192.0.2.2/24 dev out",
    "ip route add default dev out",
)
#: Where the kernel has IPv6; a failure only means that it has not.
_SETUP_6 = (
    "ip -6 address add 2001:db8::2/64 dev out nodad",
    "ip -6 route add default dev out",
)


def way_in() -> list[str] | None:
    """The command that makes a namespace here; None where this user may make none."""
    if not shutil.which("unshare") or not shutil.which("ip"):
        return None
    for way in (["unshare", "-n"], ["unshare", "-rn"]):
        probe = [*way, "sh", "-c", " && ".join(_SETUP)]
        if subprocess.run(probe, capture_output=True, check=False).returncode == 0:
            return way
    return None


class Watch:
    """The packets that wanted to leave, by where to."""

    def __init__(self) -> None:
        self.tried: dict[str, int] = {}
        self._lock = threading.Lock()
        for name in ("nowhere", "lo"):
            threading.Thread(target=self._listen, args=(name,), daemon=True).start()

    def _listen(self, interface: str) -> None:
        with socket.socket(
            socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ALL_PROTOCOLS)
        ) as packets:
            packets.bind((interface, _ALL_PROTOCOLS))
            while True:
                data, (_, protocol, *_) = packets.recvfrom(65_535)
                where = destination(data, protocol)
                if where is None or (interface == "lo" and where[2] != _DNS):
                    continue
                kind, address, port = where
                asked = question(data) if (kind, port) == ("UDP", _DNS) else ""
                with self._lock:
                    key = f"{kind} {address} port {port}{asked}"
                    self.tried[key] = self.tried.get(key, 0) + 1

    @contextmanager
    def collected(self) -> Iterator[dict[str, int]]:
        """What tries to leave inside of the block; complete after it."""
        with self._lock:
            self.tried = {}
        found: dict[str, int] = {}
        yield found
        # The last packets are on their way to the listening thread.
        time.sleep(0.2)
        with self._lock:
            found.update(self.tried)


def destination(data: bytes, protocol: int) -> tuple[str, str, int] | None:
    """Kind, address and port of an IP packet; None of what is neither TCP nor UDP."""
    if protocol == _IPV4 and len(data) >= 20:
        start, number = (data[0] & 0x0F) * 4, data[9]
        address = socket.inet_ntop(socket.AF_INET, data[16:20])
    elif protocol == _IPV6 and len(data) >= 40:
        start, number = 40, data[6]
        address = socket.inet_ntop(socket.AF_INET6, data[24:40])
    else:
        return None
    if number not in (_TCP, _UDP) or len(data) < start + 4:
        return None
    (port,) = struct.unpack_from("!H", data, start + 2)
    return ("TCP" if number == _TCP else "UDP"), address, port


def question(packet: bytes) -> str:
    """The name that a datagram to a name server asks for, in words; empty if it cannot be read."""
    # Behind the addresses of the packet: 8 bytes of the datagram's own and 12 of the question's.
    labels, at = [], ((packet[0] & 0x0F) * 4 if packet[0] >> 4 == 4 else 40) + 20
    while at < len(packet) and 0 < packet[at] < 64:
        labels.append(packet[at + 1 : at + 1 + packet[at]].decode("ascii", "replace"))
        at += 1 + packet[at]
    return f" for {'.'.join(labels)}" if labels else ""


def plant() -> None:
    """Try to connect to an address and to look up a name, and give up at once."""
    with socket.socket() as one:
        one.settimeout(0.2)
        with suppress(OSError):
            one.connect(PLANTED)
    lookup = f"import socket; socket.getaddrinfo({PLANTED_NAME!r}, 443)"
    # In a process of its own, because a look-up cannot be given a time.
    with subprocess.Popen(
        [sys.executable, "-c", lookup], stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        time.sleep(0.5)
        process.kill()


def _inside(command: list[str]) -> int:
    for line in _SETUP:
        subprocess.run(line.split(), check=True)
    for line in _SETUP_6:
        subprocess.run(line.split(), check=False, capture_output=True)
    watch = Watch()
    time.sleep(0.1)
    with watch.collected() as planted:
        plant()
    connection = f"TCP {PLANTED[0]} port {PLANTED[1]}"
    if connection not in planted or not any(PLANTED_NAME in one for one in planted):
        sys.stdout.write(f"What was planted was not caught: {sorted(planted)}\n")
        return BLIND
    sys.stdout.write(f"planted and caught: {', '.join(sorted(planted))}\n")
    sys.stdout.flush()
    # Libraries keep quiet where they see that they are tested.
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    with watch.collected() as tried:
        status = subprocess.run(command, env=environment, check=False).returncode
    sys.stdout.write(f"connections and look-ups that tried to leave: {len(tried)}\n")
    for where, packets in sorted(tried.items()):
        sys.stdout.write(f"  {where}, {packets} packets\n")
    return LEFT if tried else status


def main(arguments: list[str]) -> int:
    if arguments[:1] == [_INSIDE]:
        return _inside(arguments[1:])
    way = way_in()
    if way is None:
        sys.stdout.write(
            "No network namespace can be made here: it needs unshare and ip (util-linux,"
            " iproute2), and root or user namespaces.\n"
        )
        return NO_NAMESPACE
    again = [*way, sys.executable, "-m", "tests.e2e.no_egress", _INSIDE, *arguments]
    return subprocess.run(again, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
