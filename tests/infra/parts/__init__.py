"""The parts of `make test-infra`, each a function that tries one thing for real.

A part returns None where all is well. It raises `NotPossible` where this machine lacks what it
needs, and anything else where something is wrong.
"""


class NotPossible(Exception):
    """The machine cannot do this; the text says what it lacks.

    Args:
        why: what is missing.
        tool_is_there: the tool itself is on the machine, so that in CI this is a failure.
    """

    def __init__(self, why: str, *, tool_is_there: bool = False) -> None:
        super().__init__(why)
        self.tool_is_there = tool_is_there
