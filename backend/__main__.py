"""The ``email-sender`` command, also as ``python -m backend``; light, so as to listen at once."""

import gc
import importlib
import signal
from types import ModuleType


def load(module: str) -> ModuleType:
    """Load a module that takes its time; a Ctrl-C meanwhile ends the process without a word.

    Python would answer it with a traceback of whatever is just being loaded.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        return _import(module)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    loaded = _import(module)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return loaded


def _import(module: str) -> ModuleType:
    # What is loaded stays to the end: to look through it for garbage, again and again as it grows,
    # takes a sixth of the start, and afterwards a part of each collection.
    gc.disable()
    try:
        return importlib.import_module(module)
    finally:
        gc.freeze()
        gc.enable()


def main() -> None:
    """Run one command."""
    load("backend.cli").main()


if __name__ == "__main__":
    main()
