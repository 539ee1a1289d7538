"""Wire types of questions about access and of access reviews."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, Field

from backend.http.schemas import Input, Name, Time

Permission = Annotated[
    str, Field(max_length=100, json_schema_extra={"format": "permission"}, examples=["access:read"])
]
Subject = Annotated[
    str,
    Field(
        max_length=300,
        pattern=r"^(user|client|api_key):[!-~]+$",
        description="As in the audit trail; of a person also `user:` and their e-mail",
    ),
]
Sorted = Annotated[list[str], BeforeValidator(sorted)]


class HolderOut(BaseModel):
    """A member, client or key, and what it may do now."""

    subject: str = Field(examples=["user:0199c0de-0000-7000-8000-000000000001"])
    name: str
    role: str
    active: bool = Field(description="Neither disabled nor expired")
    permissions: Sorted
    last_used_at: datetime | None


class HoldersOut(BaseModel):
    """All who may do something."""

    permission: str
    holders: list[HolderOut]


class AccessCheck(Input):
    """May somebody do this?"""

    permission: Permission = Field(examples=["access:check"])
    subject: Subject | None = Field(None, description="null: whoever asks")


class AccessAnswer(BaseModel):
    """Whether they may, at this moment."""

    allowed: bool
    subject: str
    permission: str


class AccessPreview(Input):
    """A role, and what it would permit."""

    role: str = Field(min_length=1, max_length=40, examples=["billing"])
    permissions: list[Permission] = Field(max_length=200, examples=[["access:read"]])


class TouchedOut(BaseModel):
    """Somebody, and what they would gain and lose."""

    subject: str
    name: str
    gains: Sorted
    loses: Sorted


class AccessPreviewOut(BaseModel):
    """What would change; nothing has changed."""

    role: str
    exists: bool
    added: Sorted
    removed: Sorted
    touched: list[TouchedOut]


class ReviewCreate(Input):
    """A review of all who hold something in the tenant now."""

    name: Name = Field(examples=["First quarter"])
    due_at: Time = Field(description="RFC 3339", examples=["2099-12-31T23:59:59Z"])


class ReviewOut(BaseModel):
    """A review, without its lines."""

    id: str
    name: str
    due_at: datetime
    created_by: str
    created_at: datetime
    closed_by: str | None
    closed_at: datetime | None
    undecided: int = Field(description="Lines that wait for a decision")
    overdue: bool


class ReviewLineOut(BaseModel):
    """What somebody held when the review began, and what was decided."""

    subject: str
    name: str
    role: str
    permissions: list[str]
    last_used_at: datetime | None
    decision: Literal["keep", "revoke"] | None
    decided_by: str | None
    decided_at: datetime | None


class ReviewDetailOut(ReviewOut):
    """A review with its lines, by name."""

    lines: list[ReviewLineOut]


class ReviewDecision(Input):
    """One line's."""

    subject: Subject
    decision: Literal["keep", "revoke"]


class ReviewDecisions(Input):
    """What is kept and what is taken away, at once."""

    decisions: list[ReviewDecision] = Field(max_length=500, examples=[[]])
    keep_rest: bool = Field(
        default=False,
        description="Keep all other lines that are not decided yet",
        examples=[True],
    )


class ProofOut(BaseModel):
    """A record of the audit trail; `seq` and `hash` follow within a second."""

    id: str
    seq: int | None
    hash: str | None
    at: datetime
    actor: str
    action: str
    subject: str | None
    decision: str | None


class EvidenceOut(BaseModel):
    """The review with all that was decided, and where the audit trail proves it."""

    review: ReviewOut
    lines: list[ReviewLineOut]
    records: list[ProofOut]
