"""Failed attempts with several processes: counted together in Redis, by shares without it."""

from contextlib import AsyncExitStack

import httpx
import pytest

from backend.api import create_app
from backend.app import compose
from backend.kit.limiter import FailoverLimiter, GcraLimiter, RedisLimiter
from backend.managers.identity._failures import FailureLimits
from backend.managers.identity.errors import TooManyFailuresError
from backend.managers.identity.settings import IdentitySettings
from tests.support.passwords import PASSWORD
from tests.support.redis import RedisServer

SETTINGS = IdentitySettings()
BURST = SETTINGS.account_burst_failures


async def attempts(limits, most, address, account):
    """How many of so many guesses may be made."""
    for made in range(most):
        try:
            await limits.charge(address.format(made), account)
        except TooManyFailuresError:
            return made
    return most


class Fleet:
    """Processes that share a Redis, and what each of them counts failures with."""

    def __init__(self, server, prefix, size):
        self.limiters = [
            FailoverLimiter(
                RedisLimiter(server.url, prefix=prefix, timeout_seconds=5), GcraLimiter()
            )
            for _ in range(size)
        ]
        self.limits = [FailureLimits(SETTINGS, one) for one in self.limiters]
        self._stack = AsyncExitStack()

    async def __aenter__(self):
        for one in self.limiters:
            await self._stack.enter_async_context(one.watched())
        for one in self.limiters:
            await one._beat()
        return self

    async def __aexit__(self, *_):
        await self._stack.aclose()


class TestTogether:
    async def test_two_processes_allow_one_burst_of_guesses(self, redis_server, redis_prefix):
        async with Fleet(redis_server, redis_prefix, 2) as fleet:
            one, other = fleet.limits
            assert await attempts(one, BURST // 2, "192.0.2.{}", "login:ada") == BURST // 2
            # From addresses of their own, so that the account alone is what stops them.
            left = await attempts(other, 2 * BURST, "198.51.100.{}", "login:ada")
            assert left == BURST - BURST // 2
            with pytest.raises(TooManyFailuresError) as caught:
                await one.charge("203.0.113.1", "login:ada")
            assert 0 < caught.value.retry_after_seconds <= 60
            await one.charge("203.0.113.1", "login:eve")

    async def test_an_address_is_turned_away_by_both(self, redis_server, redis_prefix):
        async with Fleet(redis_server, redis_prefix, 2) as fleet:
            one, other = fleet.limits
            for number in range(SETTINGS.address_burst_failures):
                await (one, other)[number % 2].charge("192.0.2.1", f"login:{number}")
            for limits in fleet.limits:
                with pytest.raises(TooManyFailuresError):
                    await limits.refuse_exhausted("192.0.2.1")
                await limits.refuse_exhausted("192.0.2.2")

    async def test_a_success_at_one_is_no_failure_at_the_other(self, redis_server, redis_prefix):
        async with Fleet(redis_server, redis_prefix, 2) as fleet:
            one, other = fleet.limits
            for _ in range(2 * BURST):
                async with one.attempt("192.0.2.1", "login:ada"):
                    pass
            with pytest.raises(LookupError):
                async with one.attempt("192.0.2.1", "login:ada"):
                    raise LookupError
            assert await attempts(other, 2 * BURST, "192.0.2.{}", "login:ada") == BURST - 1

    async def test_without_redis_each_has_its_share(self, redis_prefix, request):
        request.getfixturevalue("redis_server")  # skips where there is none
        with RedisServer() as server:
            async with Fleet(server, redis_prefix, 2) as fleet:
                server.stop()
                for limits in fleet.limits:
                    made = await attempts(limits, 2 * BURST, "192.0.2.{}", "login:ada")
                    assert made == BURST // 2
                assert all(one.away for one in fleet.limiters)


class TestTwoApplications:
    async def test_guess_a_client_and_a_person_no_oftener(self, app, redis_server, redis_prefix):
        """What a stranger sends to either counts at both."""
        settings = app.platform.settings
        redis = {"url": redis_server.url, "prefix": redis_prefix, "timeout_seconds": 5}
        shared = settings.model_copy(update={"redis": type(settings.redis).model_validate(redis)})
        ada = await app.caller()
        platforms = [compose(shared) for _ in range(2)]
        async with AsyncExitStack() as stack:
            clients = []
            for platform in platforms:
                asgi = create_app(platform)
                control = asgi.control_plane
                await stack.enter_async_context(control.router.lifespan_context(control))
                transport = httpx.ASGITransport(asgi, client=("192.0.2.9", 1))
                http = httpx.AsyncClient(transport=transport, base_url="http://localhost:8400")
                clients.append(await stack.enter_async_context(http))
            grant = {"grant_type": "client_credentials"}
            statuses = [
                (
                    await clients[number % 2].post(
                        "/oauth/token", data=grant, auth=(ada.client_id, PASSWORD)
                    )
                ).status_code
                for number in range(BURST + 2)
            ]
            assert statuses == [401] * BURST + [429] * 2
