"""Tells what a test does from what the platform's own ticks do beside it.

A count of statements or looks that a tick adds to is off by one on a busy machine and right on a
quiet one. Tasks keep the context they were begun in, and ticks are begun before the block.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_block: ContextVar[object] = ContextVar("block", default=None)


@contextmanager
def own_work() -> Iterator[Callable[[], bool]]:
    """Give what tells whether the work that asks was begun within the block."""
    this = object()
    before = _block.set(this)
    try:
        yield lambda: _block.get() is this
    finally:
        _block.reset(before)
