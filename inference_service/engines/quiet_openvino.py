"""OpenVINO without its telemetry; every import of OpenVINO in the service goes through here.

With `openvino-telemetry` installed, importing OpenVINO writes an id into the home folder and
sends usage events. OpenVINO has a stub for the case that the package is missing; hiding the
package makes it take the stub. A consent file in the home folder would need a home to write to.
"""

import sys

#: What OpenVINO imports to send usage events.
TELEMETRY = "openvino_telemetry"

if "openvino" not in sys.modules:
    # None in sys.modules makes the import fail as if the package were not installed.
    sys.modules[TELEMETRY] = None  # type: ignore[assignment]

import openvino  # noqa: E402

__all__ = ["openvino"]
