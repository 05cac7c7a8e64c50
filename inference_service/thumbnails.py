"""Small pictures of kept images, for lists."""

import asyncio
import hashlib
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor

from diagnosis.contracts import Prediction
from diagnosis.errors import Overloaded
from diagnosis.image_store import ImageStore, kept_as
from inference_service.decoding import Decoders

#: Longest side, in pixels.
SIDE = 160
#: A page of a list asks for up to a hundred at once, and several people may.
MOST_WAITING = 400
#: Kept in memory; each has a few KB.
MOST_KEPT = 1000
#: Changes when the same image is made small otherwise, so that a browser asks again.
MAKING = "1"


class Thumbnails:
    """Makes thumbnails, one at a time beside the readings, and keeps the last ones.

    Args:
        images: where the kept images are.
        decoders: read them, in their processes.
    """

    def __init__(self, images: ImageStore, decoders: Decoders) -> None:
        self._images = images
        self._decoders = decoders
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="thumbnail")
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._waiting = 0

    def close(self) -> None:
        """Let the one at work end, and make no more."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    async def of(self, prediction: Prediction) -> bytes | None:
        """A JPEG of the reading's image; None where the image is not kept any more.

        Raises:
            Overloaded: too many wait already.
        """
        name = kept_as(prediction.unit, prediction.image.digest)
        if self._waiting >= MOST_WAITING:
            raise Overloaded
        self._waiting += 1
        try:
            work = asyncio.get_running_loop().run_in_executor(self._pool, self._make, name)
            return await asyncio.shield(work)
        finally:
            self._waiting -= 1

    def _make(self, name: str) -> bytes | None:
        # Looked for each time: of a deleted image nothing may be shown.
        data = self._images.get(name)
        if data is None:
            self._kept.pop(name, None)
            return None
        if name not in self._kept:
            read = self._decoders.read(data, decode_at_least=(SIDE, SIDE), thumbnail=SIDE)
            self._kept[name] = read.thumbnail
            if len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(name)
        return self._kept[name]


def tag(prediction: Prediction) -> str:
    """The ETag of a reading's thumbnail."""
    text = f"{prediction.image.digest} {SIDE} {MAKING}"
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'
