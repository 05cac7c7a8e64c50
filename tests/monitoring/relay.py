"""Hands TCP connections on to unix sockets: Prometheus scrapes no socket, and `make run` has no
other place where its services show their metrics."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(1 << 16):
            writer.write(piece)
            await writer.drain()
    writer.close()


async def _serve(port: int, target: Path) -> asyncio.Server:
    async def passed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_unix_connection(target)
        except OSError:
            # Nobody is there: whoever asks is told so, as if it had asked the service itself.
            writer.close()
            return
        await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))

    return await asyncio.start_server(passed, "127.0.0.1", port)


@contextmanager
def relayed(pairs: Mapping[int, Path]) -> Iterator[None]:
    """Hand on while the block runs.

    Args:
        pairs: port of 127.0.0.1 to socket.
    """
    loop = asyncio.new_event_loop()

    async def begin() -> None:
        for port, target in pairs.items():
            servers.append(await _serve(port, target))

    async def end() -> None:
        for one in servers:
            one.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    servers: list[asyncio.Server] = []
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(begin(), loop).result(10)
        yield
    finally:
        asyncio.run_coroutine_threadsafe(end(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
