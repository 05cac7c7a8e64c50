"""The identity service, with a real Redis and a clock that the tests turn."""
