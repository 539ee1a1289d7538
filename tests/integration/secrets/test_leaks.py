"""Planted values, looked for wherever something is kept or said."""

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from backend.core.columns import Base
from backend.core.context import Scope, SystemScope
from backend.core.log import configure_logging
from backend.managers.secrets import SecretManager
from backend.migrations.runner import sync_url
from backend.settings import Settings
from tests.integration.secrets.conftest import SECRETS, TOKENS, read, write
from tests.support.errands import EVERYTHING
from tests.support.platform import App

EXECUTION = {"workflow_id": "w1", "execution_id": "4711"}
PLANTED = [f"canary-{number:03}-xq7" for number in range(60)]


@pytest.fixture
def said() -> Iterator[io.StringIO]:
    """All that is logged at the most talkative level."""
    stream = io.StringIO()
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    configure_logging("test", "debug", stream)
    yield stream
    root.handlers[:], root.level = before, level


async def everything(app: App) -> str:
    """Every row of every table, as text; bytes as latin-1, in which ASCII stays what it is."""
    found: list[str] = []
    async with app.platform.database.read(SystemScope(EVERYTHING)) as tx:
        for mapper in Base.registry.mappers:
            model: Any = mapper.class_
            if model.__tablename__ not in EVERYTHING.tables:
                continue
            for row in await tx.scalars(sa.select(model)):
                for column in mapper.column_attrs:
                    if column.deferred:
                        continue
                    value = getattr(row, column.key)
                    found.append(
                        value.decode("latin-1") if isinstance(value, bytes) else str(value)
                    )
    return "\n".join(found)


async def test_values_are_nowhere_but_in_answers(
    app: App, app_settings: Settings, said: io.StringIO
) -> None:
    ada = await app.caller("owner")
    answers = [
        await ada.http.post(
            SECRETS,
            json={"path": f"f/s{number % 12}", "value": {"k": value}},
            headers={"Idempotency-Key": f"k-{number}"},
        )
        for number, value in enumerate(PLANTED)
    ]
    assert {answer.status_code for answer in answers} == {201}
    made = [answer.json() for answer in answers]
    url = f"{SECRETS}/{made[0]['secret_id']}"
    await ada.http.post(f"{url}/patch", json={"value": {"other": PLANTED[0]}})
    difference = {"from_version": 5, "to_version": 6}
    quiet = [
        *answers,
        await ada.http.get(f"{url}/difference", params=difference),
        await ada.http.get(SECRETS),
        # Refusals that have the value at hand.
        await ada.http.post(SECRETS, json={"path": "/", "value": PLANTED[1]}),
        await ada.http.post(SECRETS, json={"path": "a", "value": {"k": [PLANTED[1]]}}),
        # In the place of a key, which is told by name otherwise.
        *[
            await ada.http.post(SECRETS, json={"path": "a", "value": value})
            for value in ({f"{PLANTED[1]} !": "v"}, {PLANTED[1]: 1}, {PLANTED[1] * 9: "v"})
        ],
        await ada.http.post(f"{url}/patch", json={"value": {f"{PLANTED[1]} !": "v"}}),
        await ada.http.post(SECRETS, json={"path": "f/s1", "value": PLANTED[1], "cas": 99}),
        await ada.http.post(SECRETS, content=b'{"path": "a", "value": "' + PLANTED[1].encode()),
    ]
    for reference in ("${secret:nothing}", "${secret:f/s1}"):
        await write(ada, "r", {"a": PLANTED[2], "b": reference})
        quiet.append(await read(ada, "r"))
    for answer in quiet:
        assert "canary-" not in answer.text, answer.request.url
    assert (await read(ada, "f/s11")).json()["value"] == {"k": PLANTED[59]}
    token = (await ada.http.post(TOKENS, json={"path": "f/s11", **EXECUTION})).json()["token"]
    given = await ada.http.post(
        f"{TOKENS}/redeem",
        json={"token": token, **EXECUTION},
        headers={"Idempotency-Key": "once"},
    )
    assert given.json()["value"] == {"k": PLANTED[59]}
    # A bug, with the value in the innermost frame.
    app.asgi.control_plane.state.managers[SecretManager] = None
    broken = await ada.http.post(SECRETS, json={"path": "a", "value": PLANTED[3]})
    assert (broken.status_code, "canary-" in broken.text) == (500, False)

    kept = await everything(app)
    assert "f/s11" in kept
    # The hash of a request could be tried with guesses: it is sealed as well.
    assert "request_failed" in said.getvalue()
    for secret in (*PLANTED, token):
        assert secret not in kept
        assert secret not in said.getvalue()
    files = [one for one in app_settings.data_dir.rglob("*") if one.is_file()]
    database = sa.make_url(sync_url(app_settings.database_url)).database
    if app.platform.database.dialect == "sqlite" and database:
        files += [one for one in Path(database).parent.iterdir() if one.is_file()]
    for file in files:
        assert b"canary-" not in file.read_bytes(), file


async def test_a_hash_of_a_request_is_kept_sealed(app: App) -> None:
    ada = await app.caller("owner")
    await ada.http.post(
        SECRETS, json={"path": "a", "value": "1234"}, headers={"Idempotency-Key": "k"}
    )
    async with app.platform.database.read(SystemScope(EVERYTHING)) as tx:
        model = next(
            mapper.class_
            for mapper in Base.registry.mappers
            if mapper.class_.__tablename__ == "idempotency_records"
        )
        (row,) = await tx.scalars(sa.select(model).where(model.tenant_id == ada.tenant.id))
    assert row.fingerprint == b""


async def test_a_value_is_in_no_repr(app: App) -> None:
    ada = await app.caller("owner")
    await write(ada, "a", "canary-xq7")
    async with app.platform.database.transaction(Scope("test", ada.tenant.id)) as tx:
        found = await app.platform.of(SecretManager).reading.read(
            tx, path="a", environment="default", role=None
        )
    assert found.value == "canary-xq7"
    assert "canary" not in repr(found)
    assert "canary" not in json.dumps(repr([found]))
