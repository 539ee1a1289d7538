"""Workers killed as programs are told of events: a sample of ``scripts/drill webhooks``.

Without the real n8n of that drill, whose two minutes away alone are longer than this may take;
``tests/e2e/test_n8n_trigger.py`` has one stopped for as long as two alerts take to fire.
"""

import asyncio
import logging
import random
import secrets

import pytest

from scripts.drills.rig import open_rig
from scripts.drills.webhooks import SETTINGS, WebhooksReport, kill_deliverers

pytestmark = [pytest.mark.drill, pytest.mark.slow, pytest.mark.timeout(600)]

logger = logging.getLogger(__name__)

EVENTS = 100
KILLS = 2


@pytest.fixture(scope="module")
def report(durable, tmp_path_factory) -> WebhooksReport:
    """One drill."""
    seed = secrets.randbelow(10**6)
    logger.warning("seed %s", seed)

    async def hold() -> WebhooksReport:
        folder = tmp_path_factory.mktemp("drill") / "rig"
        async with asyncio.timeout(500), open_rig(folder, durable, SETTINGS) as rig:
            return await kill_deliverers(
                rig,
                random.Random(seed),
                hook_events=EVENTS,
                hook_tenants=5,
                hook_kills=KILLS,
                hook_n8n_seconds=0,
                one_of=20,
                seconds_between=1.5,
            )

    made = asyncio.run(hold())
    logger.warning("%s", made)
    # Here, so that a second try is a second drill.
    assert made.problems() == [], str(made)
    return made


def test_all_is_delivered_in_order_and_signed(report):
    assert (report.emitted, report.delivered) == (EVENTS, EVENTS)
    assert report.kills == KILLS
