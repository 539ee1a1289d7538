"""Wire types of named keys."""

from datetime import datetime
from typing import Annotated, ClassVar

from pydantic import BaseModel, Field

from backend.http.schemas import Input, ShownOnce
from backend.managers.security._format import MAX_VERSION
from backend.managers.security._keys import (
    DEFAULT_BUDGET,
    HELD_DAYS,
    KEY_NAME,
    MIN_BUDGET,
    MIN_ROTATION_SECONDS,
)
from backend.managers.security._material import KeyType

KeyName = Annotated[str, Field(max_length=64, pattern=KEY_NAME)]
_LONGEST_SECONDS = 100 * 366 * 24 * 3600
_AGE = "Age in seconds at which a new version takes over; null: never by age"
_BUDGET = (
    "Operations of a version at which a new one takes over; null: never, and encryption stops at "
    "2^32"
)
_FLOOR = "What earlier versions made does not hold any more"


class KeyPut(Input):
    """What may be changed of a key."""

    rotate_after_seconds: int | None = Field(
        None, ge=MIN_ROTATION_SECONDS, le=_LONGEST_SECONDS, description=_AGE, examples=[2592000]
    )
    rotate_after_operations: int | None = Field(
        DEFAULT_BUDGET, ge=MIN_BUDGET, le=2**53, description=_BUDGET
    )
    min_decrypt_version: int = Field(1, ge=1, le=MAX_VERSION, description=_FLOOR)
    exportable: bool = Field(
        False, description="Its material may be asked for; not taken back", examples=[True]
    )
    disabled: bool = Field(False, description="It refuses everything that would use it")
    even_if_used: bool = Field(
        False,
        description=f"Raise the floor over what somebody opened in the last {HELD_DAYS} days",
        examples=[True],
    )


class KeyCreate(Input):
    """A new key."""

    name: KeyName = Field(examples=["orders"])
    type: KeyType = Field("aes256-gcm", description="What it does, for ever")
    rotate_after_seconds: int | None = Field(
        None, ge=MIN_ROTATION_SECONDS, le=_LONGEST_SECONDS, description=_AGE, examples=[7776000]
    )
    rotate_after_operations: int | None = Field(
        DEFAULT_BUDGET, ge=MIN_BUDGET, le=2**53, description=_BUDGET
    )
    exportable: bool = Field(
        False, description="Its material may be asked for; not taken back", examples=[True]
    )


class KeyOut(BaseModel):
    """A named key; no secret of it."""

    id: str
    name: str
    type: KeyType
    latest_version: int
    min_decrypt_version: int
    disabled: bool
    exportable: bool
    rotate_after_seconds: int | None
    rotate_after_operations: int | None
    operations: int = Field(
        description="Of the newest version: reserved by processes, so no fewer than were done"
    )
    created_at: datetime
    created_by: str
    rotated_at: datetime
    rotates_at: datetime | None = Field(description="When it comes of age")
    delete_at: datetime | None = Field(description="When it is destroyed; it is in no use until")


class KeyVersionOut(BaseModel):
    """A version of a key."""

    number: int
    operations: int
    created_at: datetime
    public_key: str | None = Field(description="PEM; null: it has none")
    usable: bool = Field(description="Whether what it made still holds")
    last_opened_at: datetime | None = Field(
        description="When somebody last opened or verified what it made, to about a minute; "
        "null: not since this is noted"
    )


class KeyOpeningOut(BaseModel):
    """That a caller opens, rewraps or verifies what a version made."""

    version: int
    actor: str
    last_at: datetime = Field(description="When last, exact to about a minute")


class KeyVersionsOut(BaseModel):
    """Versions of a key, newest first; `next_below` asks for those before them."""

    items: list[KeyVersionOut]
    next_below: int | None


class KeyExport(Input):
    """Which version to export."""

    version: int | None = Field(None, ge=1, le=MAX_VERSION, description="null: the newest")


class KeyExportOut(ShownOnce):
    """The material of a version, 32 bytes in base64."""

    secrets: ClassVar[tuple[str, ...]] = ("material",)
    another: ClassVar[str] = "Export the version again."

    name: str
    type: KeyType
    number: int
    material: str | None = Field(None, description="Whoever has it needs the platform no more")
    public_key: str | None = None
