"""A simple driver: good files, changed at random, the same changes by seed."""

import random
from collections.abc import Iterator

#: Numbers at which lengths and counts go wrong.
_EDGES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def mutated(data: bytes, rng: random.Random) -> bytes:
    """The file with one to six changes."""
    found = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(found)) if found else 0
        # Headers stand at the front, and there the changes are worth most.
        at = min(at, rng.choice((64, 512, 1 << 30)))
        kind = rng.randrange(6)
        if kind == 0:
            found[at : at + 1] = bytes([rng.randrange(256)])
        elif kind == 1 and found:
            found[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            size = rng.choice((1, 2, 4))
            edge = rng.choice(_EDGES) & (256**size - 1)
            found[at : at + size] = edge.to_bytes(size, rng.choice(("little", "big")))
        elif kind == 3:
            del found[at : at + rng.choice((1, 2, 8, 100, 1 << 30))]
        elif kind == 4:
            found[at:at] = rng.randbytes(rng.choice((1, 2, 8, 100)))
        else:
            source = rng.randrange(len(found)) if found else 0
            found[at:at] = found[source : source + rng.choice((4, 16, 200))]
    return bytes(found)


def mutations(seeds: tuple[bytes, ...], *, seed: int) -> Iterator[bytes]:
    """The seeds, and then changes of them without end."""
    rng = random.Random(seed)
    yield from seeds
    while True:
        yield mutated(rng.choice(seeds), rng)
