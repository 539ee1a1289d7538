"""The price of an export that neither loses nor doubles, against the client's own helper.

Both sides bring as many documents of the same shape into data streams of the same real server, in
bulks of a thousand. Ours reads the lines from its database, and writes down how far it came, so
that whoever is killed is gone on for; the reference has its documents in memory and forgets them.
"""

import json
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import uvloop
from elasticsearch import Elasticsearch as Client
from elasticsearch.helpers import streaming_bulk
from pydantic import SecretStr

from backend.app import compose
from backend.core.clock import perf_counter
from backend.core.context import Scope, SystemScope
from backend.core.ids import uuid7
from backend.managers.logging import LoggingManager, LoggingSettings
from backend.managers.logging._ecs import document_of
from backend.managers.logging.models import LogRecord
from backend.managers.tenant import PLATFORM, TenantManager
from backend.migrations import runner
from backend.settings import DatabaseSettings, Settings
from scripts.benchmarks.measure import BenchmarkError, Result, alternate
from tests.support.elasticsearch import MISSING, find_elasticsearch, real_elasticsearch

REFERENCE: Final = "helpers.streaming_bulk"
FLOOR: Final = 0.7
_TENANTS: Final = 5
_BULK: Final = 1000
_AT: Final = datetime.now(UTC)
_STREAM: Final = "logs-email_sender-shared"


def run_case(rounds: int, count: int) -> Result:
    """Lines a second into Elasticsearch, from SQLite.

    Raises:
        BenchmarkError: There is no Elasticsearch, or a side did not bring every document.
    """
    source = find_elasticsearch()
    if source is None:
        raise BenchmarkError(MISSING)
    with ExitStack() as stack:
        server = stack.enter_context(real_elasticsearch(source))
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="email-sender-bench-"))
        )
        url = f"sqlite:///{folder / 'export.db'}"
        runner.upgrade(url)
        settings = Settings(
            data_dir=folder / "data",
            database=DatabaseSettings(url=SecretStr(url)),
            logging=LoggingSettings(
                elasticsearch_url=server.url, elasticsearch_bulk_documents=_BULK
            ),
        )
        # Once unmeasured: the first of them makes the template and the stream.
        uvloop.run(_measure_ours(settings, _BULK))
        mine, theirs = alternate(
            rounds,
            lambda: uvloop.run(_measure_ours(settings, count)),
            lambda: _measure_reference(server.url, count),
        )
        server.ask("POST", f"/{_STREAM}/_refresh")
        there = server.ask("GET", f"/{_STREAM}/_count")["count"]
    if there != 2 * rounds * count + _BULK:
        raise BenchmarkError(f"the server has {there} documents")
    return Result("export", "elasticsearch", mine, theirs, REFERENCE, "lines/s", FLOOR)


def _line(number: int) -> dict[str, Any]:
    """One as programs send it."""
    return {
        "message": f"payment {number} settled after {number % 90} ms",
        "log.level": "info",
        "service.name": f"shop-{number % 7}",
        "trace.id": f"{number:032x}",
        "customer": number % 1000,
        "amount": number / 7,
    }


async def _measure_ours(settings: Settings, count: int) -> float:
    platform = compose(settings)
    each = count // _TENANTS
    async with platform.running():
        database, logs = platform.database, platform.of(LoggingManager)
        for _ in range(_TENANTS):
            name = uuid7()
            async with database.transaction(SystemScope(PLATFORM)) as tx:
                tenant = await platform.of(TenantManager).create_tenant(tx, slug=name, name=name)
            scope = Scope("bench", tenant.id)
            for first in range(0, each, _BULK):
                numbers = range(first, min(first + _BULK, each))
                body = b"\n".join(json.dumps(_line(number)).encode() for number in numbers)
                batch = await logs.read(database, scope, body)
                async with database.transaction(scope) as tx:
                    await logs.add(tx, batch)
        began = perf_counter()
        # As the tick does, at once: its second of pause is not what is asked about.
        while await logs.export.push_due(database):
            await logs.export.settle()
        return count / (perf_counter() - began)


def _measure_reference(url: str, count: int) -> float:
    documents = [_document(number) for number in range(count)]
    client = Client(url, request_timeout=60)

    def actions() -> Iterator[dict[str, Any]]:
        for made, source in documents:
            yield {"_op_type": "create", "_index": _STREAM, "_id": made, "_source": source}

    began = perf_counter()
    done = sum(ok for ok, _ in streaming_bulk(client, actions(), chunk_size=_BULK))
    seconds = perf_counter() - began
    client.close()
    if done != count:
        raise BenchmarkError(f"the reference brought {done} of {count} documents")
    return count / seconds


def _document(number: int) -> tuple[str, Any]:
    said = _line(number)
    del said["log.level"]
    # What ours makes of the same line, of a tenant that is nobody.
    record = LogRecord(
        tenant_id=uuid7(),
        id=uuid7(),
        seq=number + 1,
        at=_AT,
        received_at=_AT,
        severity=9,
        source=said.pop("service.name"),
        message=said.pop("message"),
        trace_id=said.pop("trace.id"),
        fields=said,
    )
    made = document_of(record)
    return made.id, msgspec.json.decode(made.source)
