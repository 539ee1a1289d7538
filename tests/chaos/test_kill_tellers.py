"""Workers killed as alerts fire and end: a sample of ``scripts/drill alerts``."""

import asyncio
import logging
import random
import secrets

import pytest

from scripts.drills.alert_receivers import HEEDS, NEXT
from scripts.drills.alerts import SETTINGS, AlertsReport, kill_tellers
from scripts.drills.rig import open_rig

pytestmark = [pytest.mark.drill, pytest.mark.slow, pytest.mark.timeout(1200)]

logger = logging.getLogger(__name__)

ALERTS = 30
KILLS = 2


@pytest.fixture(scope="module")
def report(durable, tmp_path_factory) -> AlertsReport:
    """One drill; every test below looks at another promise."""
    seed = secrets.randbelow(10**6)
    logger.warning("seed %s", seed)

    async def hold() -> AlertsReport:
        folder = tmp_path_factory.mktemp("drill") / "rig"
        async with asyncio.timeout(1000), open_rig(folder, durable, SETTINGS) as rig:
            return await kill_tellers(
                rig, random.Random(seed), alerts=ALERTS, alert_seconds=25, kills=KILLS
            )

    made = asyncio.run(hold())
    logger.warning("%s", made)
    # Here, so that a second try is a second drill.
    assert made.problems() == [], str(made)
    return made


class TestKillTellers:
    def test_tells_everybody_of_everything_that_was_due(self, report):
        assert report.alerts == ALERTS
        assert report.kills == KILLS

    def test_tells_who_honours_the_key_once(self, report):
        assert (report.again[HEEDS], report.again[NEXT]) == (0, 0)
