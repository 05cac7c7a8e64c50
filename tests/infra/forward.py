"""Passes TCP on: forward.py LISTEN_HOST:PORT=HOST:PORT ...; only the standard library."""

import asyncio
import contextlib
import sys


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(1 << 16):
            writer.write(piece)
            await writer.drain()
    writer.close()


async def _serve(listen: str, target: str) -> None:
    host, _, port = target.rpartition(":")

    async def passed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(host, int(port))
        except OSError:
            writer.close()
            return
        await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))

    at, _, number = listen.rpartition(":")
    await asyncio.start_server(passed, at, int(number))


async def main(pairs: list[str]) -> None:
    """Serve every pair until the end."""
    for pair in pairs:
        await _serve(*pair.split("="))
    sys.stdout.write("passing on\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
