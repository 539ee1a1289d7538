"""Plain functions run in child processes: bounded in time and memory, and killed for certain.

A thread that computes for ever cannot be stopped, and one that takes all memory takes its process
along. Here a function runs in a process of its own, forked from a warm one that never had a secret,
a connection or an environment of ours. Nothing of it outlives whoever asked: neither the process
nor what it started.
"""

from backend.kit.children._pool import (
    MEMORY_BYTES,
    RESULT_BYTES,
    ChildError,
    Children,
    Place,
)

__all__ = ["MEMORY_BYTES", "RESULT_BYTES", "ChildError", "Children", "Place"]
