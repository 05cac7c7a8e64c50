"""Sends images while everything is killed, stopped, cut off and starved, and counts them itself.

`make faults` is the long form (`tests/faults/run.py`), `test_faults.py` the small one.
"""
