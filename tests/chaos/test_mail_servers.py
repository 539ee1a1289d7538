"""Mail servers that are slow, strict or broken: a sample of ``scripts/drill smtp``."""

import asyncio
import random
import secrets
from dataclasses import replace

import pytest

from scripts.drills.smtp import play_servers
from scripts.drills.smtp_cases import CASES

pytestmark = [pytest.mark.drill, pytest.mark.slow, pytest.mark.timeout(1200)]

SAMPLE = {
    "252 to RCPT",
    "454 above a rate",
    "two connections",
    "ten messages a session",
    "ten recipients (452 4.5.3)",
    "550 5.4.5 daily limit",
    "535 for hours",
    "a silent server",
    "cut after the dot",
    "nobody of that name",
}


def test_every_server_is_handled_as_expected(durable, tmp_path_factory) -> None:
    seed = secrets.randbelow(10**6)
    # A hundred messages meet every limit; the drill sends as many as those who reported it did.
    cases = [
        replace(case, messages=min(case.messages, 100)) for case in CASES if case.name in SAMPLE
    ]
    assert len(cases) == len(SAMPLE)
    folder = tmp_path_factory.mktemp("drill")
    rng = random.Random(seed)
    report = asyncio.run(play_servers(durable, rng, folder, cases))
    assert report.problems() == [], f"seed {seed}: {report}"
