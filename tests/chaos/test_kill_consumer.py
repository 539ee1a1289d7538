"""Consumers of events killed as events come in: a sample of ``scripts/drill events``."""

import asyncio
import logging
import random
import secrets

import pytest

from scripts.drills.events import SETTINGS, EventsReport, kill_consumers
from scripts.drills.rig import open_rig

pytestmark = [pytest.mark.drill, pytest.mark.slow, pytest.mark.timeout(1200)]

logger = logging.getLogger(__name__)

EMITTED = 500
KILLS = 3


@pytest.fixture(scope="module")
def report(durable, tmp_path_factory) -> EventsReport:
    """One drill; every test below looks at another promise."""
    seed = secrets.randbelow(10**6)
    # pytest shows warnings with a failure, and only then.
    logger.warning("seed %s", seed)

    async def hold() -> EventsReport:
        folder = tmp_path_factory.mktemp("drill") / "rig"
        async with asyncio.timeout(1000), open_rig(folder, durable, SETTINGS) as rig:
            return await kill_consumers(rig, random.Random(seed), count=EMITTED, kills=KILLS)

    made = asyncio.run(hold())
    logger.warning("%s", made)
    # Here, so that a second try is a second drill.
    assert made.problems() == [], str(made)
    return made


class TestKillConsumer:
    def test_struck_in_the_middle_of_the_work(self, report):
        assert report.kills == KILLS
        assert report.in_the_middle >= 1

    def test_delivers_every_event_in_order(self, report):
        assert report.emitted == EMITTED
        assert report.delivered == EMITTED
        assert report.disorder == []

    def test_shows_who_fails_for_ever_and_stays_ready(self, report):
        assert report.ready
        assert "drill.broken" in report.told
        assert "ConnectionError" in report.told
        # The other consumer of the same events was held up by it for no moment.
        assert "drill.noted" not in report.told
