"""Wire types of the audit trail."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from backend.http.schemas import Input, ShownOnce, Time

FormatName = Literal["ndjson", "csv", "ecs", "ocsf", "cef"]
_Filter = Annotated[str | None, Field(max_length=200, description="Exact, or a prefix with `*`")]


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
    hash: str | None = Field(description="Chain hash, hex; see docs/formats/audit.md")
    workflow: str | None = Field(
        description="The workflow that asked for the act, or that it was about, as n8n calls it",
        examples=["8sBqYH3wN1tRz0Qk"],
    )
    execution: str | None = Field(description="Its execution, likewise", examples=["4711"])


class FindingOut(BaseModel):
    """One thing that does not hold, and what found it."""

    by: Literal["enumeration", "mac", "chain", "tree", "checkpoint", "retention", "search"]
    seq: int | None = Field(description="The first number that it concerns, if any does")
    detail: str


class FacetOut(BaseModel):
    """How often a value occurs."""

    value: str = Field(examples=["email.submitted"])
    count: int = Field(examples=[42])


class StretchOut(BaseModel):
    """How many records begin with a moment, until the next stretch."""

    at: datetime
    count: int = Field(examples=[7])


class FacetsOut(BaseModel):
    """Counts over a stretch of time: what is in it, by act, actor and time."""

    after: datetime
    before: datetime
    counted: int = Field(description="How many records these are of")
    complete: bool = Field(description="Whether that is all; else the newest 10 000 were looked at")
    actions: list[FacetOut] = Field(description="The most frequent, at most 20")
    actors: list[FacetOut] = Field(description="The most frequent, at most 20")
    step_seconds: int = Field(description="How long each of `stretches` is", examples=[900])
    stretches: list[StretchOut] = Field(description="In order; without those that are empty")


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
    removed_seq: int = Field(
        description="Records up to this number were let go, as a signature says; 0: none"
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
    """That a record is a leaf of the tree; checked by the algorithm of RFC 9162, 2.1.3.2.

    Saved as it is, `audit_verify.py --proof` checks it, with the tenant's key and nothing else.
    """

    record_id: str
    seq: int = Field(description="The leaf's index plus one")
    size: int
    leaf: str = Field(description="The record's canonical bytes, which the leaf's hash is of")
    leaf_hash: str
    root: str
    hashes: list[str]
    checkpoint: str | None = Field(description="The note that signs this size, if one does")


class ConsistencyProofOut(BaseModel):
    """That the tree only grew; checked by the algorithm of RFC 9162, 2.1.4.2.

    Saved as it is, `audit_verify.py --proof` checks it, with the tenant's key and nothing else.
    """

    old_size: int
    old_root: str
    size: int
    root: str
    hashes: list[str]
    old_checkpoint: str | None = Field(description="The note that signs the old size, if one does")
    checkpoint: str | None = Field(description="The note that signs this size, if one does")


class AuditKeyOut(BaseModel):
    """The Ed25519 public key of the trail's checkpoints."""

    name: str = Field(description="The origin that checkpoints name")
    key_id: str
    vkey: str = Field(description="Name, id and key in one line, as verifiers of notes take it")


class AuditRetentionPut(Input):
    """How long the trail is to be kept."""

    keep_days: int | None = Field(
        ge=1, le=36_500, examples=[400], description="Older records may go; null: never"
    )


class AuditRetentionOut(BaseModel):
    """How long the trail is kept, and what of it is gone."""

    keep_days: int | None = Field(description="Older records may go; null: never")
    least_days: int = Field(description="What cannot be undercut")
    removed_seq: int = Field(description="Records up to this number are gone; 0: none")
    removed_at: datetime | None
    statement: str | None = Field(description="What says so: a signed note of C2SP")
    updated_at: datetime | None
    updated_by: str | None


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


class ExportCreate(Input):
    """What is to be in the file, and how it is written."""

    format: FormatName = Field(examples=["ndjson"])
    action: _Filter = None
    actor: _Filter = None
    target: _Filter = None
    request_id: _Filter = Field(None, examples=["0199c0de-0000-7000-8000-000000000001"])
    workflow: _Filter = Field(None, examples=["8sBqYH3wN1tRz0Qk"])
    execution: _Filter = Field(None, examples=["4711"])
    created_after: Time | None = Field(None, description="RFC 3339; made then or later")
    created_before: Time | None = Field(None, description="RFC 3339; made earlier")


class WantedOut(BaseModel):
    """What is in a file."""

    action: str | None
    actor: str | None
    target: str | None
    request_id: str | None
    workflow: str | None
    execution: str | None
    after: datetime | None
    before: datetime | None


class ExportOut(BaseModel):
    """A file of records: made by a job, kept for a day."""

    id: str
    job_id: str | None = Field(description="The job that makes it; null: it was made at once")
    format: FormatName
    wanted: WantedOut
    state: Literal["running", "ready", "failed", "cancelled"]
    looked_at: int = Field(description="How many records were looked at so far")
    records: int = Field(description="How many are in it so far")
    size_bytes: int
    error: str | None
    created_at: datetime = Field(description="Later records are not in it")
    created_by: str
    finished_at: datetime | None
    expires_at: datetime = Field(description="When it is forgotten")


class StreamPut(Input):
    """Where the trail is to go."""

    kind: Literal["webhook", "syslog"] = Field(examples=["webhook"])
    target: str = Field(
        min_length=1,
        max_length=2000,
        description="An https address, or host:port of a syslog receiver (TLS, 6514 by default)",
        examples=["https://siem.example.com/audit"],
        json_schema_extra={"format": "stream-target"},
    )
    format: FormatName = Field("ndjson", examples=["ocsf"])
    ca_certificate: str | None = Field(
        None,
        max_length=16_384,
        description="The authority of a syslog receiver's certificate, PEM; null: the system's",
    )
    paused: bool = Field(False, description="Whether it stands still; its place is kept")
    from_beginning: bool = Field(
        False, description="Of a new one: begin with the first record and not with the next"
    )


class StreamOut(BaseModel):
    """Where the trail goes, and how far it has come."""

    kind: Literal["webhook", "syslog"]
    target: str
    format: FormatName
    ca_certificate: str | None
    paused: bool
    seq: int = Field(description="The number of the last record that was taken")
    behind: int = Field(description="How many records there are after it")
    failures: int = Field(description="How often in a row it has failed")
    last_error: str | None
    next_try_at: datetime | None = Field(description="While it fails")
    delivered_at: datetime | None
    updated_at: datetime
    updated_by: str


class StreamSavedOut(ShownOnce, StreamOut):
    """The stream; of a new one with the secret that its requests are signed with."""

    secrets = ("secret",)
    another = "Delete the stream and set it up again to get another."

    secret: str | None = Field(
        None, description="Of a new one, shown this once: Standard Webhooks, HMAC-SHA256"
    )
