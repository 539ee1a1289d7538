"""Log lines as programs write them: words that are more and less common, and numbers."""

import json
import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

LEVELS: Final = ("info", "info", "info", "warn", "error")
SOURCES: Final = ("shop", "gateway", "mailer", "worker")
WORDS: Final = tuple(f"word{number}" for number in range(5000))
"""Said as Zipf has it: the first in nearly every second line, the last in one of tens of
thousands."""

_SAID: Final = 8
_SHARES: Final = [1 / (rank + 10) for rank in range(len(WORDS))]


def messages(rng: random.Random, count: int) -> Sequence[str]:
    """So many messages of eight words and an order's number."""
    words = rng.choices(WORDS, _SHARES, k=_SAID * count)
    return [
        f"{' '.join(words[at : at + _SAID])} order {rng.randrange(10**6)}"
        for at in range(0, len(words), _SAID)
    ]


def log_lines(rng: random.Random, count: int, at: datetime) -> bytes:
    """A batch of so many lines, as the API takes it; they happen within a second."""
    return b"\n".join(
        json.dumps(
            {
                "@timestamp": (at + timedelta(microseconds=900_000 * number // count)).isoformat(),
                "log.level": rng.choice(LEVELS),
                "service.name": rng.choice(SOURCES),
                "message": message,
                "trace.id": f"{rng.getrandbits(128):032x}",
                "http": {"status": 200, "path": "/orders"},
            }
        ).encode()
        for number, message in enumerate(messages(rng, count))
    )
