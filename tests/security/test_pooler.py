"""Behind PgBouncer in transaction mode no scope stays on a connection that the next one gets."""

import asyncio
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import sqlalchemy as sa

from backend.core.context import Scope
from backend.core.database import Database, make_engine
from backend.core.ids import uuid7
from backend.managers.email.models import TemplateRow
from tests.security.test_walls import without_criterion
from tests.support.postgres import RUNTIME
from tests.support.trail import audit_row

pytestmark = [pytest.mark.attack, pytest.mark.postgresql]

TENANTS = [uuid7() for _ in range(50)]
_PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@pytest.fixture(scope="module")
def pooler(postgres_template: Any) -> Iterator[int]:
    """The port of a pooler with four connections to the server."""
    if _PROGRAM is None:
        pytest.skip("pgbouncer is missing: scripts/setup --all, or apt-get install pgbouncer")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = Path(tempfile.mkdtemp(prefix="email-sender-pooler-"))
    (folder / "users").write_text(f'"{RUNTIME}" ""\n')
    (folder / "settings").write_text(
        f"[databases]\n* = host=127.0.0.1 port={postgres_template.port}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        f"auth_type = trust\nauth_file = {folder}/users\npool_mode = transaction\n"
        "default_pool_size = 4\nmax_client_conn = 200\n"
    )
    command = [_PROGRAM, str(folder / "settings")]
    if os.geteuid() == 0:
        # It refuses to run as root.
        for path in (folder, *folder.iterdir()):
            shutil.chown(path, "postgres", "postgres")
        command = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", *command]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            break
        except OSError:
            assert process.poll() is None, "pgbouncer ended"
            assert time.monotonic() < deadline, "pgbouncer does not listen"
            time.sleep(0.05)
    yield port
    process.send_signal(signal.SIGINT)
    process.wait(timeout=20)
    shutil.rmtree(folder, ignore_errors=True)


@pytest_asyncio.fixture
async def pooled(pooler: int, postgres_template: Any) -> AsyncIterator[Database]:
    name = f"pooled_{secrets.token_hex(6)}"
    postgres_template.create_database(name, template="migrated")
    url = f"postgresql://{RUNTIME}@127.0.0.1:{pooler}/{name}"
    database = Database(make_engine(url, pool_size=25, prepared=False), audit_row=audit_row)
    yield database
    await database.aclose()
    postgres_template.drop_database(name)


async def test_fifty_tenants_interleaved_see_their_own_rows_alone(pooled: Database) -> None:
    looks = 0

    async def work(tenant_id: str) -> None:
        nonlocal looks
        scope = Scope("t", tenant_id)
        for number in range(10):
            async with pooled.transaction(scope) as tx:
                row = {"tenant_id": tenant_id, "name": f"n{number}", "subject": tenant_id}
                await tx.insert(TemplateRow, [{**row, "text": "t", "updated_at": tx.now()}])
                await asyncio.sleep(0)
                found = await tx.scalars(sa.select(TemplateRow.subject))
            assert found == [tenant_id] * (number + 1)
            async with pooled.read(scope) as view:
                assert await view.scalars(sa.select(TemplateRow.subject)) == found
            looks += 2

    # The session's own wall would hide what bleeds below it.
    with without_criterion(pooled):
        async with asyncio.TaskGroup() as group:
            for tenant_id in TENANTS:
                group.create_task(work(tenant_id))
    assert looks == 1000


async def test_a_connection_brings_no_scope_along(pooled: Database) -> None:
    async with pooled.transaction(Scope("t", TENANTS[0])) as tx:
        row = {"tenant_id": TENANTS[0], "name": "n", "subject": "s", "text": "t"}
        await tx.insert(TemplateRow, [{**row, "updated_at": tx.now()}])
    for _ in range(8):
        async with pooled.engine.connect() as connection:
            with pytest.raises(sa.exc.DBAPIError):
                await connection.exec_driver_sql("SELECT count(*) FROM email_templates")
