"""Names, record numbers and UIDs that stand for a patient's, and where each could come to light."""

import io
import os
import shutil
import subprocess
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
from PIL import Image, PngImagePlugin
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from redis import Redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from diagnosis.results.keys import unpacked
from gateway.servers import find_redis
from tests.fixtures import images
from tests.fixtures.stack import Stack

#: Where a patient's name, record number and UID are planted; each place has three of its own.
PLACES = ("file", "dicom", "exif", "png", "form", "url")
CANARIES = {
    place: (f"Canaryname{number}x", f"4711{number}4711471", f"1.2.826.0.1.4711.{number}.4711")
    for number, place in enumerate(PLACES, start=1)
}


def text(place: str) -> str:
    """The three canaries of a place, as one text."""
    return " ".join(CANARIES[place])


def dicom_film(*, with_image: bool = True, **changes: str) -> bytes:
    """A film whose attributes name the patient, also in a sequence and in a private block."""
    name, record, uid = CANARIES["dicom"]
    item = Dataset()
    item.PatientID, item.ReferencedSOPInstanceUID = record, uid
    dataset = images.dicom_dataset(
        images.grey(400, 300) if with_image else None,
        PatientName=name,
        PatientID=record,
        AccessionNumber=record,
        StudyInstanceUID=uid,
        SeriesInstanceUID=f"{uid}.1",
        SOPInstanceUID=f"{uid}.2",
        InstitutionName=name,
        PatientComments=text("dicom"),
        ReferencedPatientSequence=Sequence([item]),
        **changes,
    )
    dataset.private_block(0x0047, name, create=True).add_new(1, "LO", name)
    return images.dicom_bytes(dataset)


def jpeg_film() -> bytes:
    """A JPEG with canaries in its EXIF block and in a comment."""
    jpeg = images.encode(images.grey(400, 300), "JPEG", exif=images.exif(1, text("exif")))
    return images.with_segments(jpeg, images.jpeg_segment(0xFE, text("exif").encode()))


def png_film() -> bytes:
    """A PNG with canaries in its text, plain, compressed and international."""
    words = PngImagePlugin.PngInfo()
    words.add_text("Title", text("png"))
    words.add_text("Comment", text("png"), zip=True)
    words.add_itxt("Author", text("png"), zip=True)
    return images.encode(images.grey(400, 300), "PNG", pnginfo=words)


def spots(stack: Stack, answers: list[httpx.Response]) -> Iterator[tuple[str, str, bytes]]:
    """Everything that is looked through: its kind, where it is, and its bytes."""
    for path in stack.places.run_dir.rglob("*"):
        yield FILES, "name", str(path.relative_to(stack.places.run_dir)).encode()
        if path.is_file():
            yield FILES, path.name, path.read_bytes()
    for path, words in _texts(stack):
        yield TEXTS, f"text of {path.name}", words
    for value in redis_values(stack):
        yield REDIS, "redis", value
    for service in (stack.places.inference_socket, stack.places.web_socket):
        transport = httpx.HTTPTransport(uds=str(service))
        with httpx.Client(transport=transport, base_url="http://service", timeout=10) as client:
            for at in PRIVATE:
                yield METRICS, f"{service.name}{at}", client.get(at).content
    for answer in answers:
        where = f"answer {answer.status_code} to {answer.request.method}"
        yield ANSWERS, where, answer.content
        yield ANSWERS, f"headers of {where}", str(answer.headers.multi_items()).encode()


def found(stack: Stack, answers: list[httpx.Response]) -> set[str]:
    """Every canary that comes to light, as `where: canary`."""
    return {
        f"{where}: {canary}"
        for _, where, content in spots(stack, answers)
        for canary in _in(content)
    }


def table(stack: Stack, answers: list[httpx.Response]) -> list[tuple[str, str, str]]:
    """By kind: how many things were looked at, and how many canaries came to light."""
    looked: Counter[str] = Counter()
    lit: Counter[str] = Counter()
    for kind, _, content in spots(stack, answers):
        looked[kind] += 1
        lit[kind] += len(set(_in(content)))
    return [(kind, str(looked[kind]), str(lit[kind])) for kind in KINDS]


FILES = "files of the run folder and their names: logs, Redis' own files, kept images"
TEXTS = "text inside of kept images"
REDIS = "Redis: every key and value, unpacked"
METRICS = "metrics, health and readiness of each service"
ANSWERS = "answers with their headers: API, errors, redirects, pages, images, documents"
KINDS = (FILES, TEXTS, REDIS, METRICS, ANSWERS)
#: What a service tells on its private side.
PRIVATE = ("/metrics", "/readyz", "/healthz")


def _in(content: bytes) -> Iterator[str]:
    lowered = content.lower()
    for canaries in CANARIES.values():
        yield from (one for one in canaries if one.lower().encode() in lowered)


def _texts(stack: Stack) -> Iterator[tuple[Path, bytes]]:
    """What Pillow reads of a kept image beside its pixels; PNG keeps some of it compressed."""
    for path in kept_images(stack):
        with Image.open(io.BytesIO(path.read_bytes())) as image:
            image.load()
            yield path, f"{image.info} {dict(image.getexif())}".encode()


def kept_images(stack: Stack) -> list[Path]:
    """The files of the image store."""
    return [
        path for path in stack.places.images.glob("??/*") if path.is_file() and len(path.name) == 64
    ]


@contextmanager
def everything_in(stack: Stack) -> Iterator[Redis]:
    """A Redis on a copy of the stack's data: no user may look at all of the stack's own.

    Each write is in the file before it is answered, so that the copy is what Redis holds.
    """
    server = find_redis()
    with tempfile.TemporaryDirectory() as name:
        folder, path = Path(name), Path(name) / "redis.sock"
        shutil.copytree(stack.places.redis / "appendonlydir", folder / "appendonlydir")
        options = ("--port", "0", "--unixsocket", path, "--dir", folder, "--appendonly", "yes")
        process = subprocess.Popen(
            [server.binary, *options, "--save", ""],
            env=dict(os.environ) | server.environment,
            stdout=subprocess.DEVNULL,
        )
        try:
            patient = Retry(ConstantBackoff(0.1), 100)
            with Redis(unix_socket_path=str(path), retry=patient) as client:
                yield client
        finally:
            process.terminate()
            process.wait(10)


def redis_values(stack: Stack) -> Iterator[bytes]:
    """Every key and every value, and what is compressed in it."""
    with everything_in(stack) as client:
        for key in client.scan_iter(count=1000):
            yield key
            kind = client.type(key)
            values: list[bytes] = []
            if kind == b"string":
                values = [client.get(key) or b""]
            elif kind == b"set":
                values = list(client.smembers(key))
            elif kind == b"zset":
                values = client.zrange(key, 0, -1)
            elif kind == b"hash":
                values = [part for pair in client.hgetall(key).items() for part in pair]
            elif kind == b"stream":
                values = [str(entry).encode() for entry in client.xrange(key)]
            elif kind == b"list":
                values = client.lrange(key, 0, -1)
            for value in values:
                yield value
                for unpack in (zlib.decompress, unpacked):
                    with suppress(zlib.error):
                        yield unpack(value)
