"""Workers killed in the middle of three hundred e-mails: a sample of ``scripts/drill``."""

import asyncio
import logging
import random
import secrets

import pytest

from scripts.drills.rig import open_rig
from scripts.drills.workers import KILL_SETTINGS, LEAST_IN_FLIGHT, KillReport, kill_worker

pytestmark = [pytest.mark.drill, pytest.mark.slow, pytest.mark.timeout(1200)]

logger = logging.getLogger(__name__)

QUEUED = 300
KILLS = 3


@pytest.fixture(scope="module")
def report(durable, tmp_path_factory) -> KillReport:
    """One drill; every test below looks at another promise."""
    seed = secrets.randbelow(10**6)
    # pytest shows warnings with a failure, and only then.
    logger.warning("seed %s", seed)

    async def hold() -> KillReport:
        folder = tmp_path_factory.mktemp("drill") / "rig"
        async with asyncio.timeout(1000), open_rig(folder, durable, KILL_SETTINGS) as rig:
            return await kill_worker(rig, random.Random(seed), count=QUEUED, kills=KILLS)

    made = asyncio.run(hold())
    logger.warning("%s", made)
    # Here, so that a second try is a second drill.
    assert made.problems() == [], str(made)
    return made


class TestKillWorker:
    def test_struck_in_the_middle_of_the_work(self, report):
        assert len(report.kills) == KILLS
        assert min(kill.before for kill in report.kills) >= LEAST_IN_FLIGHT
        assert min(len(kill.left) for kill in report.kills) >= LEAST_IN_FLIGHT
        # Before the last kill there was something left to lose.
        assert report.kills[-1].copies < QUEUED + report.most_doubles

    def test_loses_nothing(self, report):
        assert report.tally.queued == QUEUED
        assert report.tally.lost == 0
        assert report.tally.states == {"accepted": QUEUED}
        assert report.tally.open_jobs == {}

    def test_doubles_only_what_was_in_flight_and_under_its_message_id(self, report):
        left = frozenset().union(*(kill.left for kill in report.kills))
        assert report.tally.doubles <= report.most_doubles
        assert report.tally.doubled <= left
        # A copy under another Message-ID would be a copy of nothing that was queued.
        assert report.tally.strange == 0

    def test_answers_a_repeated_business_key_with_the_first_email(self, report):
        assert report.repeated == KILLS + 5

    def test_accounts_for_what_happened(self, report):
        assert report.tally.implausible == []
        assert report.tally.audit_valid
        assert report.tally.errors == []
