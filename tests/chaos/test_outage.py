"""The database away, workers frozen, two of them at work: a sample of ``scripts/drill outage``."""

import asyncio
import logging
import random
import secrets

import pytest

from scripts.drills import outages
from scripts.drills.outages import SETTINGS, RoundsReport
from scripts.drills.rig import open_rig

pytestmark = [pytest.mark.drill, pytest.mark.slow, pytest.mark.timeout(1200)]

logger = logging.getLogger(__name__)


@pytest.fixture(scope="module")
def report(durable, tmp_path_factory) -> RoundsReport:
    """One drill: each way once, none much longer than a lease."""
    seed = secrets.randbelow(10**6)
    logger.warning("seed %s", seed)
    ways = 3 if durable.server is None else 4

    async def hold() -> RoundsReport:
        folder = tmp_path_factory.mktemp("drill") / "rig"
        async with asyncio.timeout(1000), open_rig(folder, durable, SETTINGS) as rig:
            return await outages.outages(rig, random.Random(seed), rounds=ways, longest=9.0)

    made = asyncio.run(hold())
    logger.warning("%s", made)
    # Here, so that a second try is a second drill.
    assert made.problems() == [], str(made)
    return made


class TestOutage:
    def test_loses_nothing(self, report):
        assert report.tally.lost == 0
        assert report.tally.open_jobs == {}
        assert report.tally.audit_valid

    def test_doubles_only_what_a_stopped_worker_was_in_the_middle_of(self, report):
        assert {one.doubles for one in report.rounds if one.most_doubles == 0} == {0}
