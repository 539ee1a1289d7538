"""A key's budget under many processes, one of them killed: a sample of ``scripts/drill budget``."""

import asyncio
import random
import secrets

import pytest

from backend.managers.security._keys import MIN_BUDGET
from scripts.drills.budget import SETTINGS, hammer
from scripts.drills.rig import open_rig

pytestmark = [pytest.mark.drill, pytest.mark.slow, pytest.mark.timeout(1200)]

PROCESSES = 3
VERSIONS = 3


def test_the_budget_holds_to_the_last_one_and_a_kill_loses_no_count(
    durable, tmp_path_factory
) -> None:
    seed = secrets.randbelow(10**6)

    async def hold():
        folder = tmp_path_factory.mktemp("drill") / "rig"
        async with asyncio.timeout(1000), open_rig(folder, durable, SETTINGS) as rig:
            rng = random.Random(seed)
            sample = {"seconds": 3, "processes": PROCESSES, "versions": VERSIONS}
            return await hammer(rig, rng, budget=MIN_BUDGET, **sample)

    report = asyncio.run(hold())
    assert report.problems() == [], f"seed {seed}: {report}"
    assert report.killed == 1
    assert len(report.counted) >= VERSIONS
    assert report.answered.total() > MIN_BUDGET
