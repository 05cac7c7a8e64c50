"""What a service does to its process before it serves."""

import subprocess
import sys


def test_what_was_loaded_is_left_out_of_later_collections() -> None:
    # In a process of its own: it could not be undone here.
    program = (
        "import gc, json; from diagnosis.process import settle; settle();"
        "before = len(gc.get_objects()); new = [[] for _ in range(50)];"
        "print(gc.get_freeze_count() > 10_000, before < 1_000, len(gc.get_objects()) >= 50)"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert said.stdout.split() == ["True", "True", "True"], said.stderr
