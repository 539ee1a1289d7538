"""What the drills send: numbered messages, each to a recipient of its own."""

import random

from scripts.drills.rig import Json


def messages(
    count: int, rng: random.Random, *, slow_share: float = 0.75, name: str = "drill"
) -> list[Json]:
    """So many messages; the mail sink takes a second to answer that share of them.

    A slow server is what makes a crash hurt: it has the message, and its answer is on the way.
    """
    return [
        {
            "to": [f"{'slow' if rng.random() < slow_share else 'brisk'}-{n}@{name}.test"],
            "subject": f"{name} {n}",
            "text": f"Message {n} of {count}.",
            "business_key": f"{name}-{n}",
        }
        for n in range(count)
    ]
