"""Live models as devices keep them: made from the verified artifact when one is asked for."""

import asyncio
import threading
from collections import OrderedDict

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from diagnosis.artifacts import Registry, open_artifact
from diagnosis.errors import ArtifactRefused, NotPortable, RegistryError, UnknownVersion
from diagnosis.portable import Portable, portable
from inference_service.models import Models

#: Bytes of all graphs that are kept in memory; a larger one is none for a device.
MOST_BYTES = 64_000_000

log = structlog.get_logger("inference_service")


class Portables:
    """What devices are given of the live models.

    Args:
        models: the live models.
        registry: where their artifacts lie.
        key: cards have to be signed by the owner of this key; None: they need not be.
    """

    def __init__(self, models: Models, registry: Registry, key: Ed25519PublicKey | None) -> None:
        self._models = models
        self._registry = registry
        self._key = key
        self._lock = threading.Lock()
        self._made: OrderedDict[str, Portable] = OrderedDict()

    async def of(self, disease: str, version: str | None = None) -> Portable:
        """The live model of a disease for other devices.

        Args:
            disease: of the catalogue.
            version: the one that is expected to be live; None: whichever is.

        Raises:
            UnknownDisease, ModelUnavailable, ServiceUnavailable: there is no live model.
            UnknownVersion: another version is live.
            NotPortable: this one cannot be written for a device, or is too large for one.
        """
        live = self._models.check(disease).card
        if version not in (None, live.version):
            raise UnknownVersion
        return await asyncio.to_thread(self._of, disease, live.version, live.files.keras.digest)

    def _of(self, disease: str, version: str, digest: str) -> Portable:
        with self._lock:
            found = self._made.get(digest)
            if found is None:
                found = self._make(disease, version, digest)
                self._made[digest] = found
            self._made.move_to_end(digest)
            while sum(len(one.onnx) for one in self._made.values()) > MOST_BYTES:
                self._made.popitem(last=False)
            return found

    def _make(self, disease: str, version: str, digest: str) -> Portable:
        try:
            artifact = open_artifact(self._registry.folder(disease, version), self._key)
        except (ArtifactRefused, RegistryError) as error:
            # It is live and loaded; what lies in the registry now is something else.
            log.warning("portable", disease=disease, cause=error.cause)
            raise NotPortable from error
        if artifact.digest != digest:
            raise NotPortable(cause="onnx-digest: the registry has another artifact by now")
        made = portable(artifact, self._models.disease(disease))
        if len(made.onnx) > MOST_BYTES:
            raise NotPortable("This model is too large to be kept on a device.")
        return made
