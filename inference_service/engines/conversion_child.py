"""The child process that turns `.keras` bytes into an OpenVINO graph; see `conversion`.

`python -m inference_service.engines.conversion_child FOLDER` reads the bytes from its standard
input and writes `model.xml` and `model.bin` into the folder.
"""

import resource
import sys
from pathlib import Path

#: No graph of an artifact that may be published is larger.
MAX_FILE_BYTES = 1 << 30


def main(folder: Path, data: bytes) -> None:
    """Convert; any failure ends the process with a traceback on standard error."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_FILE_BYTES, MAX_FILE_BYTES))
    # First, so that Keras finds OpenVINO imported without its telemetry.
    from inference_service.engines import quiet_openvino  # noqa: F401 # isort: skip
    import keras

    if keras.backend.backend() != "openvino":
        raise SystemExit(f"Keras runs on {keras.backend.backend()}, not on OpenVINO")
    path = folder / "home" / "model.keras"
    path.write_bytes(data)
    model = keras.saving.load_model(path, compile=False, safe_mode=True)
    model.export(str(folder / "model.xml"), format="openvino", verbose=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.stdin.buffer.read())
