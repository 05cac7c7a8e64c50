"""A cable between the services and Redis: a unix socket that passes everything on, until it is cut.

It runs in a thread of its own. Cut, nobody can connect and every connection is closed; muted, what
is said to Redis arrives, and what Redis answers is lost with the connection.
"""

import asyncio
import contextlib
import threading
from pathlib import Path


class Cable:
    """Passes everything on between `outer`, which it listens at, and `inner`."""

    def __init__(self, outer: Path, inner: Path) -> None:
        self._outer, self._inner = outer, inner
        self._loop = asyncio.new_event_loop()
        self._ends: set[asyncio.StreamWriter] = set()
        self._muted = False
        self._server: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin to pass on."""
        self._thread.start()
        self.mend()

    def stop(self) -> None:
        """Close everything."""
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> None:
        """Close every connection, and take no new one."""
        self._do(self._close())

    def mute(self) -> None:
        """From now on answers are lost, until it is cut or mended."""
        self._muted = True

    def mend(self) -> None:
        """Pass on again; connections that lost an answer are closed."""
        self._do(self._open())

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        left = asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self._loop.run_until_complete(asyncio.sleep(0))

    def _do(self, work: "asyncio.coroutines.Coroutine[None, None, None]") -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _open(self) -> None:
        await self._close()
        self._muted = False
        self._outer.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._connected, self._outer)

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        self._outer.unlink(missing_ok=True)
        for end in list(self._ends):
            end.transport.abort()
        await asyncio.sleep(0)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = {writer}
        self._ends |= ends
        try:
            there, back = await asyncio.open_unix_connection(self._inner)
            ends.add(back)
            # Cut meanwhile: nobody would close this end any more.
            if writer.transport.is_closing():
                return
            self._ends.add(back)
            await asyncio.gather(self._pass(reader, back), self._pass(there, writer, answers=True))
        except OSError:
            pass
        finally:
            self._ends -= ends
            for end in ends:
                end.transport.abort()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool = False
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                if not (answers and self._muted):
                    writer.write(data)
                    await writer.drain()
        writer.close()
