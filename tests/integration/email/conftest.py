"""A real mail server and a real worker beside the application."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from backend.sink import SmtpSink
from tests.support.mailing import Mailing, open_mailing


@pytest_asyncio.fixture
async def mailing(database_url: str, tmp_path: Path) -> AsyncIterator[Mailing]:
    """Application, worker and sink on a migrated, empty database of either kind; no patience."""
    directory = tmp_path / "sink"
    sink = SmtpSink(directory, port=0)
    await sink.start()
    async with open_mailing(
        database_url,
        tmp_path,
        f"smtp://127.0.0.1:{sink.port}",
        sink_directory=directory,
        give_up_after_seconds=0.25,
    ) as made:
        yield made
    await sink.stop()
