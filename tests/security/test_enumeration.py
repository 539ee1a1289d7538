"""Nobody learns who is known here, by what it costs to find out.

What is counted is work, not time: statements by kind, password hashes, digests of secrets. Seeded
draws of attempts on somebody known and on nobody, in random order and from random addresses, have
to cost the same, the first time and when they are repeated.
"""

import random
from collections import Counter
from contextlib import contextmanager
from contextvars import ContextVar

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from backend.kit import credentials
from tests.support.invitations import hidden_fields

pytestmark = pytest.mark.attack

# Only of the attempt itself: the platform's own ticks work beside it.
counted: ContextVar[Counter[str] | None] = ContextVar("counted", default=None)


@contextmanager
def counting(app, monkeypatch):
    """What is done while the block lasts."""
    done: Counter[str] = Counter()
    engine = app.platform.database.engine.sync_engine

    def statement(_connection, _cursor, text, *_):
        if counted.get() is done:
            done[text.split(None, 1)[0].upper()] += 1

    class Counted:
        @staticmethod
        def verify_phc_encoded(*arguments):
            done["argon2"] += 1
            Argon2id.verify_phc_encoded(*arguments)

    real = credentials.digest_of

    def digest(text):
        done["sha256"] += 1
        return real(text)

    sa.event.listen(engine, "before_cursor_execute", statement)
    mine = counted.set(done)
    try:
        with monkeypatch.context() as patch:
            patch.setattr("backend.managers.identity._password.Argon2id", Counted)
            patch.setattr(credentials, "digest_of", digest)
            yield done
    finally:
        counted.reset(mine)
        sa.event.remove(engine, "before_cursor_execute", statement)


async def compare(pairs, attempt):
    """The pairs whose two sides did not cost the same, the first or the second time."""
    rng = random.Random(7)
    costs: dict[str, list[Counter[str]]] = {}
    for known, unknown in pairs:
        address = f"192.0.2.{rng.randrange(1, 255)}"
        for _ in range(2):
            for one in rng.sample([known, unknown], 2):
                costs.setdefault(one, []).append(await attempt(one, address))
    differ = {known: (costs[known], costs[unknown]) for known, unknown in pairs}
    return {one: both for one, both in differ.items() if both[0] != both[1]}, costs


async def test_a_failed_client_authentication_costs_the_same(app, monkeypatch):
    owner, http = await app.caller("owner"), app.client()

    async def attempt(client_id, _):
        with counting(app, monkeypatch) as done:
            answer = await http.post(
                "/oauth/token",
                data={"grant_type": "client_credentials"},
                auth=(client_id, "es_secret_not_it"),
            )
        assert answer.status_code == 401, answer.text
        return done

    pairs = []
    for number in range(10):
        made = await owner.http.post("/api/v1/clients", json={"name": "n", "role": "viewer"})
        pairs.append((made.json()["client_id"], f"es_{number:032x}"))
    await attempt("es_first", "")
    differ, costs = await compare(pairs, attempt)
    assert differ == {}
    assert {each["sha256"] for both in costs.values() for each in both} == {1}


async def test_asking_for_a_new_password_costs_and_says_the_same(app, people, monkeypatch):
    browser = app.client()
    form = hidden_fields((await browser.get("/oauth/password-reset")).text)
    said = set()

    async def attempt(email, _):
        with counting(app, monkeypatch) as done:
            answer = await browser.post("/oauth/password-reset", data={**form, "email": email})
        assert answer.status_code == 200, answer.text
        said.add(answer.text)
        return done

    pairs = []
    for number in range(10):
        known = await people.person(f"known{number}@example.test")
        pairs.append((known.email, f"nobody{number}@example.test"))
    await attempt("first@example.test", "")
    differ, _ = await compare(pairs, attempt)
    assert differ == {}
    assert len(said) == 1
