"""Wire types of data keys, of sealing anew, and of the records of keys that are gone."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field


class DataKeyVersionOut(BaseModel):
    """A version of the key that seals what this tenant keeps."""

    id: str
    version: int = Field(examples=[2])
    state: Literal["pending", "current", "old"] = Field(
        description="`pending`: it opens and does not seal yet, until every process knows it"
    )
    created_at: datetime
    seals_from: datetime = Field(description="From when on it seals or sealed")
    due_at: datetime | None = Field(
        description="When it is replaced by its age; null: a newer one seals"
    )
    left: int | None = Field(
        description="Values under an old version that the last whole count left; null: not counted"
    )


class DataKeyListOut(BaseModel):
    """All versions that are there, oldest first: of those that are gone there are records."""

    items: list[DataKeyVersionOut]


class RewrapJobOut(BaseModel):
    """A walk over everything that this tenant's keys seal, which puts it under one version."""

    id: str
    state: Literal["running", "paused", "cancelled", "finished", "blocked"] = Field(
        description="`blocked`: it ended, and what is left does not open"
    )
    version: int = Field(description="What everything is sealed with")
    round: int = Field(description="It ends by a whole round that meets nothing to seal anew")
    column: str | None = Field(
        description="Where it is; null between rounds", examples=["email_contents.sealed_content"]
    )
    seen: int = Field(description="Rows looked at in this round")
    total: int | None = Field(description="Rows when the round began; null: not counted yet")
    written: int = Field(description="Values sealed anew, in all rounds")
    left: dict[str, int] | None = Field(
        description="By version, what the last whole round could not seal anew; `0` stands for "
        "what is in the clear. null: no round has ended"
    )
    broken: int = Field(description="Values of this round that do not open")
    waits_until: datetime | None = Field(
        description="It does nothing before: until every process knows the new version, or until "
        "nobody can write under the old one any more"
    )
    seconds_left: float | None = Field(description="An estimate for this round")
    started_by: str
    started_at: datetime
    updated_at: datetime
    finished_at: datetime | None


class RewrapJobListOut(BaseModel):
    """The tenant's walk, the last one if none goes on; earlier ones are in the audit trail."""

    items: list[RewrapJobOut]


class RetirementOut(BaseModel):
    """That a data key was destroyed when nothing was left under it."""

    id: str
    version: int
    retired_at: datetime
    statement: str = Field(description="What is signed: JSON with sorted keys and no blanks, UTF-8")
    signature: str = Field(description="Ed25519 over the statement (RFC 8032), in base64")
    key_id: str = Field(description="The first 16 digits of the public key's SHA-256")


class RetirementKeyOut(BaseModel):
    """What checks the signatures of retirement records."""

    key_id: str
    public_key: str = Field(description="The 32 bytes of an Ed25519 key (RFC 8032), in base64")
