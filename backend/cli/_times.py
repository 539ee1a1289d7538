"""Times, as commands take them."""

import argparse
from datetime import datetime


def time(text: str) -> datetime:
    """A moment with its zone.

    Raises:
        ArgumentTypeError: It is none.
    """
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no time like 2027-01-31T12:00:00Z")
    return at
