"""The OpenVINO IR that may travel with a `.keras`: a plain check before OpenVINO parses it.

The IR is XML and a flat file of constants. It holds no code, so the check is small: no XML
entities, only operations of OpenVINO's own sets, and no constant outside the flat file.
"""

import re
from typing import NoReturn
from xml.parsers import expat

from diagnosis.errors import ArtifactRefused

MAX_XML_BYTES = 30_000_000
MAX_BIN_BYTES = 600_000_000
MAX_LAYERS = 20_000

_OPERATION_SET = re.compile(r"opset[1-9][0-9]?")


def inspect_ir(xml: bytes, constants: bytes) -> None:
    """Check `model.xml` against `model.bin`.

    Raises:
        ArtifactRefused: `cause` begins with the rule that was broken.
    """
    if len(xml) > MAX_XML_BYTES or len(constants) > MAX_BIN_BYTES:
        _refuse("ir-size", f"{len(xml)} and {len(constants)} bytes")
    parser = expat.ParserCreate("utf-8")
    seen = _Seen(len(constants))
    parser.StartElementHandler = seen.start
    parser.StartDoctypeDeclHandler = seen.doctype
    try:
        parser.Parse(xml, True)
    except expat.ExpatError as error:
        raise ArtifactRefused(cause=f"ir-xml: not well formed (line {error.lineno})") from error
    if not seen.layers:
        _refuse("ir-network", "it describes no network")


class _Seen:
    """Follows the elements as the parser meets them."""

    def __init__(self, constants: int) -> None:
        self.constants = constants
        self.layers = 0
        self.elements = 0
        self.kind = ""

    def doctype(self, *_: object) -> None:
        _refuse("ir-doctype", "document types and entities are not read")

    def start(self, element: str, attributes: dict[str, str]) -> None:
        self.elements += 1
        if self.elements == 1 and element != "net":
            _refuse("ir-network", "its root is no network")
        if element == "layer":
            self.layers += 1
            self.kind = attributes.get("type", "")
            if self.layers > MAX_LAYERS:
                _refuse("ir-size", f"more than {MAX_LAYERS} layers")
            if not _OPERATION_SET.fullmatch(attributes.get("version", "")):
                _refuse("ir-operation", f"{self.kind[:40]!r} is of no operation set of OpenVINO")
        elif element == "data" and self.kind == "Const":
            try:
                offset, size = int(attributes["offset"]), int(attributes["size"])
            except (KeyError, ValueError):
                _refuse("ir-constant", "a constant does not say where it lies")
            if offset < 0 or size < 0 or offset + size > self.constants:
                _refuse("ir-constant", "a constant lies outside model.bin")


def _refuse(rule: str, what: str) -> NoReturn:
    raise ArtifactRefused(cause=f"{rule}: {what}")
