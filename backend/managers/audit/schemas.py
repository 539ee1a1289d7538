"""Wire types of the audit trail."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from backend.http.schemas import Input


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


class FindingOut(BaseModel):
    """One thing that does not hold, and what found it."""

    by: Literal["enumeration", "mac", "chain", "tree", "checkpoint"]
    seq: int | None = Field(description="The first number that it concerns, if any does")
    detail: str


class ChainReportOut(BaseModel):
    """The result of recomputing the whole chain."""

    valid: bool
    records: int = Field(description="Records whose links were recomputed and hold")
    head_seq: int
    head_hash: str | None
    first_invalid_seq: int | None
    unsequenced: int = Field(description="Committed records that wait for their number")
    from_seq: int = Field(
        description="The first record that was looked at; those before it had held already"
    )
    complete: bool = Field(
        description="The look went to the end; a longer trail is looked at as a verification"
    )
    findings: list[FindingOut]


class AuditCheckpointOut(BaseModel):
    """A signed state of the tree over the trail."""

    id: str
    size: int = Field(description="So many records, from the first on")
    root: str = Field(description="Merkle root of RFC 6962, hex")
    note: str = Field(description="The checkpoint itself: a signed note of C2SP")
    created_at: datetime
    published_at: datetime | None = Field(
        description="When it was handed to the places that the operator configured"
    )


class AuditCheckpointSignedOut(AuditCheckpointOut):
    """A checkpoint that was just made."""

    last_record_id: str = Field(description="The newest record under it")


class InclusionProofOut(BaseModel):
    """That a record is a leaf of the tree; checked by the algorithm of RFC 9162, 2.1.3.2."""

    record_id: str
    seq: int = Field(description="The leaf's index plus one")
    size: int
    leaf_hash: str
    root: str
    hashes: list[str]
    checkpoint: str | None = Field(description="The note that signs this size, if one does")


class ConsistencyProofOut(BaseModel):
    """That the tree only grew; checked by the algorithm of RFC 9162, 2.1.4.2."""

    old_size: int
    old_root: str
    size: int
    root: str
    hashes: list[str]
    checkpoint: str | None = Field(description="The note that signs this size, if one does")


class AuditKeyOut(BaseModel):
    """The Ed25519 public key of the trail's checkpoints."""

    name: str = Field(description="The origin that checkpoints name")
    key_id: str
    vkey: str = Field(description="Name, id and key in one line, as verifiers of notes take it")


class AuditVerificationCreate(Input):
    """How much of the trail is to be looked at."""

    full: bool = Field(
        False,
        examples=[True],
        description="From the first record on, and not from where the last one held",
    )


class AuditVerificationOut(BaseModel):
    """A look at the whole trail, which a worker does."""

    id: str
    state: Literal["waiting", "running", "held", "failed", "stopped"]
    from_size: int = Field(description="So many records had held before")
    size: int = Field(description="So many records are behind it")
    target_size: int = Field(description="So many there were when it began")
    findings: list[FindingOut]
    created_by: str
    created_at: datetime
    finished_at: datetime | None
