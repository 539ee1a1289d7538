"""Limits, backlogs and jobs that hang: a sample of ``scripts/drill shares``."""

import asyncio
import random
import secrets

import pytest

from scripts.drills.shares import shares

pytestmark = [pytest.mark.drill, pytest.mark.slow, pytest.mark.timeout(600)]


def test_nobody_waits_for_others_work_nor_runs_more_than_may(durable, tmp_path_factory) -> None:
    seed = secrets.randbelow(10**6)

    async def hold():
        folder = tmp_path_factory.mktemp("drill") / "shares"
        async with asyncio.timeout(500):
            return await shares(durable, random.Random(seed), folder, backlog=3000, tenants=100)

    report = asyncio.run(hold())
    assert report.problems() == [], f"seed {seed}: {report}"
    assert report.samples > 10
