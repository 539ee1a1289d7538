"""``python -m backend``: the same as the ``email-sender`` command."""

from backend.cli import main

if __name__ == "__main__":
    main()
