"""The built assets: which hashed file stands for which source, read from Vite's manifest."""

import hashlib
import json
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_WORKER = "src/offline/service-worker.ts"
#: Entries that the page for work without a network is made of.
_OF_THE_SHELL = ("src/main.ts", "src/theme.ts", "src/offline/page.ts")
#: Files that stand beside the built ones under names of their own.
_ICONS = ("favicon.svg", "icon-192.png", "icon-512.png")
#: Where the assets are served; Vite builds with the same base.
STATIC_URL = "/static/dist/"

#: Those that a machine's own list of media types may lack.
_TYPES = {".css": "text/css", ".woff2": "font/woff2"}


class AssetsMissing(RuntimeError):
    """The assets were not built, or not whole."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what}: build the page assets with `npm ci && npm run build` in web_ui/assets"
        )


@dataclass(frozen=True)
class Entry:
    """One entry of the bundle: its script and its stylesheets, as addresses."""

    script: str
    styles: tuple[str, ...]


class Bundle:
    """The entries of a built bundle.

    Args:
        folder: the folder with `manifest.json`.

    Raises AssetsMissing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
            self._worker = (folder / manifest[_WORKER]["file"]).read_text("utf-8")
        except FileNotFoundError as error:
            raise AssetsMissing(f"{folder} has no manifest.json, or not its files") from error
        except KeyError as error:
            raise AssetsMissing(f"{folder} has no {_WORKER}") from error
        self._entries = {
            part["name"]: Entry(
                script=STATIC_URL + part["file"],
                styles=tuple(STATIC_URL + style for style in part.get("css", ())),
            )
            for part in manifest.values()
            if part.get("isEntry")
        }
        self._shell = _shell(manifest)
        self._assets = {
            part["name"]: (part["file"], *part.get("assets", ()))
            for part in manifest.values()
            if part.get("isEntry")
        }

    def files(self, name: str) -> Mapping[str, tuple[str, bytes]]:
        """Media type and content of an entry's own file and of all that it refers to, by address.

        Raises AssetsMissing.
        """
        self[name]
        found = {}
        for path in self._assets[name]:
            kind = _TYPES.get(Path(path).suffix) or mimetypes.guess_type(path)[0]
            try:
                content = (self._folder / path).read_bytes()
            except FileNotFoundError as error:
                raise AssetsMissing(f"{self._folder} has no {path}") from error
            found[STATIC_URL + path] = (kind or "application/octet-stream", content)
        return found

    def __getitem__(self, name: str) -> Entry:
        """The entry of this name. Raises AssetsMissing."""
        try:
            return self._entries[name]
        except KeyError as error:
            raise AssetsMissing(f"the bundle has no entry {name}") from error

    def worker(self, page: str) -> str:
        """The service worker's script, which is told what to keep.

        Args:
            page: the address of the page that needs no network.

        Another set of files, or another script, is another version: its cache takes the place of
        the older ones.
        """
        told = {"page": page, "files": self._shell}
        text = json.dumps(told) + self._worker
        version = hashlib.sha256(text.encode()).hexdigest()[:16]
        return f"const sightlineShell = {json.dumps(told | {'version': version})};\n{self._worker}"


def _shell(manifest: dict[str, Any]) -> list[str]:
    """Every file of the page for work without a network but what runs models, which is large."""
    files: dict[str, None] = {}
    waiting = list(_OF_THE_SHELL)
    seen = set()
    while waiting:
        name = waiting.pop()
        if name in seen or name not in manifest:
            continue
        seen.add(name)
        part = manifest[name]
        waiting += [*part.get("imports", ()), *part.get("dynamicImports", ())]
        for file in (part["file"], *part.get("css", ()), *part.get("assets", ())):
            if not file.endswith(".wasm"):
                files[STATIC_URL + file] = None
    return [*files, *(STATIC_URL + icon for icon in _ICONS)]
