"""Wire types of forgetting people."""

from datetime import datetime
from typing import Annotated
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
    """That a person was erased; what is signed says what went."""

    id: str
    subject: str = Field(
        description="As the audit trail names them: `user:` and an id, or `email:` and a keyed hash"
    )
    erased_at: datetime
    erased_by: str
    statement: str = Field(description="What is signed: JSON with sorted keys and no blanks, UTF-8")
    signature: str = Field(description="Ed25519 over the statement (RFC 8032), in base64")
    key_id: str = Field(description="The first 16 digits of the public key's SHA-256")
