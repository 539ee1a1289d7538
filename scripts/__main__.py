"""What ``scripts/run`` starts."""

import signal

from backend.__main__ import load

if __name__ == "__main__":
    # scripts/run ignores a Ctrl-C until here.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    load("scripts.launcher").main()
