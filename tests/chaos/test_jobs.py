"""Workers and their database failing as graphs run: a sample of ``scripts/drill jobs``."""

import asyncio
import logging
import random
import secrets

import pytest

from scripts.drills.jobs import JobsReport, jobs

pytestmark = [pytest.mark.drill, pytest.mark.slow, pytest.mark.timeout(600)]

logger = logging.getLogger(__name__)

FAULTS = {
    "sqlite": ("kill -9", "disk full"),
    "postgresql": ("kill -9", "restart", "lost reply", "clock step"),
}


@pytest.fixture(scope="module")
def report(durable, tmp_path_factory) -> JobsReport:
    """One drill: some faults once, none of which takes long."""
    seed = secrets.randbelow(10**6)
    logger.warning("seed %s", seed)

    async def hold() -> JobsReport:
        folder = tmp_path_factory.mktemp("drill") / "rig"
        async with asyncio.timeout(500):
            return await jobs(
                durable,
                random.Random(seed),
                folder,
                faults=1,
                only=FAULTS[durable.kind],
                # How quick it is is measured on a machine that has nothing else to do.
                recovery_seconds=90.0,
            )

    made = asyncio.run(hold())
    logger.warning("%s", made)
    # Here, so that a second try is a second drill.
    assert made.problems() == [], str(made)
    return made


class TestJobs:
    def test_struck_while_jobs_were_open(self, report, durable):
        struck = {one.what for one in report.faults}
        assert struck | report.skipped.keys() == set(FAULTS[durable.kind])
        assert "kill -9" in struck
        assert all(one.seconds for one in report.faults)

    def test_loses_nothing_and_accepts_nothing_twice(self, report):
        assert sum(one.jobs for one in report.faults) >= 5
        assert {(one.lost, one.twice) for one in report.faults} == {(0, 0)}

    def test_runs_nothing_again_while_its_worker_lives(self, report):
        assert {one.again for one in report.faults if one.what != "kill -9"} <= {0}
