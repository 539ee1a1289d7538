"""HTTP face of the sink, on a platform that has one: the console's, and in no document.

What version 1 promises must hold on every installation, and one with a real mail server keeps no
copies. So the route is absent there, and nobody but the console knows of it.
"""

import asyncio
from datetime import datetime
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from backend.core.context import Scope
from backend.http.deps import Db, IdPath, manager_of, requires
from backend.managers.email import READ_CONTENT, EmailManager
from backend.sink.copies import read_copies


class CopyOut(BaseModel):
    """A copy as the sink received it."""

    model_config = ConfigDict(from_attributes=True)

    received_at: datetime | None
    envelope_from: str
    envelope_to: list[str]
    headers: list[tuple[str, str]]
    text: str | None
    html: str | None
    size_bytes: int


class CopiesOut(BaseModel):
    """More than one copy means the message was handed over more than once."""

    copies: list[CopyOut]


def sink_routes(directory: Path, key: bytes) -> APIRouter:
    """Routes that read the copies in ``directory``, sealed under ``key``, and name nothing else."""
    router = APIRouter(prefix="/sink", include_in_schema=False)

    @router.get("/emails/{email_id}")
    async def read_sink(
        email_id: IdPath,
        scope: Annotated[Scope, requires(READ_CONTENT)],
        emails: Annotated[EmailManager, manager_of(EmailManager)],
        db: Db,
    ) -> CopiesOut:
        """Read the copies of one message, oldest first. Reading is audited."""
        async with db.transaction(scope) as tx:
            message_id = await emails.audit_reading(tx, email_id, source="sink")
        copies = await asyncio.to_thread(read_copies, directory, message_id, key)
        return CopiesOut(copies=[CopyOut.model_validate(copy) for copy in copies])

    return router
