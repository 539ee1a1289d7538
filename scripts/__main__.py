"""What ``scripts/run`` starts."""

from backend.__main__ import load

if __name__ == "__main__":
    load("scripts.launcher").main()
