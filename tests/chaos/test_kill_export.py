"""Exporters of logs killed while the server fails: a sample of ``scripts/drill export``."""

import asyncio
import random
import secrets

import pytest

from scripts.drills.export import export

pytestmark = [pytest.mark.drill, pytest.mark.slow, pytest.mark.timeout(1200)]

KILLS = 2


def test_every_line_arrives_once_or_is_told_of(durable, tmp_path_factory) -> None:
    seed = secrets.randbelow(10**6)

    async def hold():
        folder = tmp_path_factory.mktemp("drill") / "rig"
        async with asyncio.timeout(1000):
            return await export(durable, random.Random(seed), folder, rounds=KILLS)

    report = asyncio.run(hold())
    assert report.problems() == [], f"seed {seed}: {report}"
    assert report.kills == KILLS
    assert report.dead
    assert report.faults.total() > KILLS
