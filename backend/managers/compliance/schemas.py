"""Wire types of forgetting people."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, Field

from backend.http.schemas import Email, Input

_User = Annotated[
    str,
    Field(max_length=36, json_schema_extra={"format": "uuid"}),
    AfterValidator(lambda text: str(UUID(text))),
]


class SubjectErase(Input):
    """Who is to be forgotten: by id, by address, or by both if the address is that person's."""

    user_id: _User | None = Field(
        None,
        description="Of somebody who was a member",
        examples=["0199c0de-0000-7000-8000-000000000001"],
    )
    address: Email | None = Field(
        None,
        description="Of a recipient, somebody who was invited, or the person with the id",
        examples=["ada@example.test"],
    )


class ErasureOut(BaseModel):
    """That a person is being erased, or was; what is signed then says what went."""

    id: str
    subject: str = Field(
        description="As the audit trail names them: `user:` and an id, or `email:` and a keyed hash"
    )
    state: Literal["running", "complete"] = Field(
        description="`running`: what is sealed opens for nobody any more, the rest is looked for"
    )
    started_at: datetime
    round: int = Field(description="Of the walk; it ends with one that meets nothing")
    place: str | None = Field(description="What is being looked at")
    looked_at: int = Field(description="Rows, in all rounds")
    rewritten: int = Field(description="Rows that went, or were written over")
    waits_for: str | None = Field(description="What has to end before it can go on")
    waits_until: datetime | None = Field(description="It does nothing before")
    erased_at: datetime | None = Field(description="When it was complete")
    erased_by: str
    statement: str | None = Field(
        description="What is signed: JSON with sorted keys and no blanks, UTF-8; with the end"
    )
    signature: str | None = Field(description="Ed25519 over the statement (RFC 8032), in base64")
    key_id: str | None = Field(description="The first 16 digits of the public key's SHA-256")
