"""Artifacts for other devices: the served graph as ONNX, and all that its answers are read by."""

from diagnosis.portable.graph import to_onnx
from diagnosis.portable.model import Portable, PortableFile, PortableModel, portable

__all__ = ["Portable", "PortableFile", "PortableModel", "portable", "to_onnx"]
