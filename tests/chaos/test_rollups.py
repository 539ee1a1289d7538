"""Processes that record metrics killed while they do: a sample of ``scripts/drill rollups``."""

import asyncio
import random
import secrets

import pytest

from scripts.drills.rollups import rollups

pytestmark = [pytest.mark.drill, pytest.mark.slow, pytest.mark.timeout(1200)]

DAYS = 3


def test_windows_say_what_was_recorded(durable, tmp_path_factory) -> None:
    seed = secrets.randbelow(10**6)

    async def hold():
        folder = tmp_path_factory.mktemp("drill") / "rollups"
        async with asyncio.timeout(1000):
            return await rollups(durable, random.Random(seed), folder, days=DAYS)

    report = asyncio.run(hold())
    assert report.problems() == [], f"seed {seed}: {report}"
    assert report.kills
    assert report.checked == (DAYS + 1) * 3 * 5
    assert report.worst_error > 0
    assert report.medians_ms.keys() == {"avg", "rate", "quantile"}
