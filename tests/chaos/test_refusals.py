"""Acts that cannot be recorded, without room or database: ``scripts/drill audit-refusals``."""

import asyncio
import os
import random
import secrets

import pytest

from scripts.drills.refusals import refuse

pytestmark = [pytest.mark.drill, pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk to be filled")
def test_what_cannot_be_recorded_is_refused_and_not_done(durable, tmp_path_factory) -> None:
    seed = secrets.randbelow(10**6)

    async def hold():
        folder = tmp_path_factory.mktemp("drill") / "rig"
        async with asyncio.timeout(1000):
            return await refuse(durable, random.Random(seed), folder)

    report = asyncio.run(hold())
    assert report.problems() == [], f"seed {seed}: {report}"
    said = [one.ready_said for one in report.outages]
    assert said[0] is not None
    assert "disk" in said[0]
