"""What a process of Sightline keeps from the others of its user."""

import ctypes
import sys

_PR_SET_DUMPABLE = 4


def keep_memory() -> None:
    """Let no other process of this user read this one's memory, nor a crash write it to the disk.

    A reader of images that was taken over runs as the same user and needs no file to look into the
    memory of whoever holds keys and other people's images; the kernel refuses it after this
    (`PR_SET_DUMPABLE`). A child that is forked keeps it, a program that is started does not. Root
    may look all the same. Linux only; nothing happens elsewhere.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
