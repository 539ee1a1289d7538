"""Wire types of the audit trail."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field


class AuditOut(BaseModel):
    """One act. ``seq`` and ``hash`` are null for the moment between commit and sequencing."""

    id: str
    seq: int | None
    at: datetime
    actor: str = Field(examples=["client:es_demo"])
    action: str = Field(examples=["email.submitted"])
    target: str = Field(examples=["email:0199c0de-0000-7000-8000-000000000001"])
    data: dict[str, Any]
    request_id: str
    hash: str | None = Field(description="Chain hash, hex; see docs/managers/security.md")


class ChainReportOut(BaseModel):
    """The result of recomputing the whole chain."""

    valid: bool
    records: int = Field(description="Records whose links were recomputed and hold")
    head_seq: int
    head_hash: str | None
    first_invalid_seq: int | None
    unsequenced: int = Field(description="Committed records that wait for their number")
