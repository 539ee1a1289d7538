"""Processes killed while callers act: a sample of ``scripts/drill audit-kill``."""

import asyncio
import random
import secrets

import pytest

from scripts.drills.audit import SETTINGS, kill_amid_records
from scripts.drills.rig import open_rig

pytestmark = [pytest.mark.drill, pytest.mark.slow, pytest.mark.timeout(1200)]

KILLS = 2


def test_every_act_has_its_record_and_no_record_is_without_its_act(
    durable, tmp_path_factory
) -> None:
    seed = secrets.randbelow(10**6)

    async def hold():
        folder = tmp_path_factory.mktemp("drill") / "rig"
        async with asyncio.timeout(1000), open_rig(folder, durable, SETTINGS) as rig:
            return await kill_amid_records(rig, random.Random(seed), rounds=KILLS)

    report = asyncio.run(hold())
    assert report.problems() == [], f"seed {seed}: {report}"
    assert report.kills == KILLS
    assert len(report.acts.answered) > KILLS
    assert report.signed == report.records
