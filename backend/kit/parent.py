"""What ties a process to the one that started it; where the kernel cannot, nothing does."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
# Loaded before any fork: between fork and exec only async-signal-safe work is allowed.
_LIBC: Final = ctypes.CDLL(None) if sys.platform == "linux" else None


def die_with_parent(number: signal.Signals = signal.SIGTERM) -> Callable[[], None] | None:
    """What a child runs before its program (``preexec_fn``) to get ``number`` when we die.

    Two system calls and no lock, which makes it safe to run between fork and exec. To Linux the
    parent is the *thread* that forks: fork from one that lives as long as the child should.

    Returns:
        None where the kernel has no such signal, which is everywhere but on Linux.
    """
    libc = _LIBC
    if libc is None:
        return None
    # Taken here and not compared with 1: in a container the supervisor may be process 1 itself.
    parent = os.getpid()

    def ask() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:  # it died before the line above: no signal will ever come
            os._exit(1)

    return ask


def adopt_orphans() -> None:
    """Become the parent of whatever our children leave behind, instead of process 1."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
