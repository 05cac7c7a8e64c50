"""A service in this process; see `tests.fixtures.live_service`."""

from tests.fixtures.live_service import artifacts, live, start

__all__ = ["artifacts", "live", "start"]
