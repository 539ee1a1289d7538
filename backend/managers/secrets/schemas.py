"""Wire types of secrets."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import (
    BaseModel,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

from backend.http.schemas import PRINTED, Input, ShownOnce
from backend.managers.secrets._values import (
    DEFAULT_ENVIRONMENT,
    DEFAULT_REMIND_SECONDS,
    DEFAULT_VERSIONS,
    ENVIRONMENT_PATTERN,
    KEY_PATTERN,
    MAX_KEYS,
    MAX_PATH,
    MAX_TOKEN_SECONDS,
    MAX_TTL_SECONDS,
    MAX_VERSIONS,
    PATH_PATTERN,
    Access,
    State,
)
from backend.managers.tenant import Role

_PATH_TEXT: Final = "Folders and a name: letters, digits, `-`, `_`, `.`, between slashes"
_BOUND: Final = r"^[A-Za-z0-9_.:-]{1,100}$"

SecretPath = Annotated[
    str, Field(min_length=1, max_length=MAX_PATH, pattern=PATH_PATTERN, description=_PATH_TEXT)
]
Environment = Annotated[str, Field(max_length=40, pattern=ENVIRONMENT_PATTERN)]
Key = Annotated[str, Field(max_length=100, pattern=KEY_PATTERN)]
Text = Annotated[str, Field(max_length=65_536)]
# Without this the document would take any other key, of which nothing is said.
_NO_OTHERS: Final[dict[str, Any]] = {"additionalProperties": False}
SecretKeys = Annotated[
    dict[Key, Text], Field(min_length=1, max_length=MAX_KEYS, json_schema_extra=_NO_OTHERS)
]
_VALUE_TEXT: Final = (
    "It is one text, or an object of texts by keys of up to 100 letters, digits, dots, dashes and "
    "underscores"
)


def _unquoted(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    """Refuse what is no value without a word of it: in the place of a key there may be one."""
    try:
        return handler(value)
    except ValidationError:
        raise PydanticCustomError("secret_value", _VALUE_TEXT) from None


_Unquoted: Final = WrapValidator(_unquoted)
SecretValue = Annotated[
    SecretKeys | Annotated[str, Field(min_length=1, max_length=65_536)], _Unquoted
]
VersionNumber = Annotated[int, Field(ge=1, le=2**31 - 1)]
Cas = Annotated[int, Field(ge=0, le=2**31 - 1)]
Ttl = Annotated[int, Field(ge=1, le=MAX_TTL_SECONDS)]
OfN8n = Annotated[str, Field(min_length=1, max_length=100, pattern=_BOUND)]
Label = Annotated[str, Field(max_length=200, pattern=PRINTED)]

_CAS_TEXT: Final = "Check-and-set: the version that this replaces; 0: there is none yet"
_TTL_TEXT: Final = "How long the version lives; null: as the secret says"


class SecretWrite(Input):
    """A secret, or its next version."""

    path: SecretPath = Field(examples=["billing/smtp"])
    environment: Environment = Field(DEFAULT_ENVIRONMENT, examples=["production"])
    value: SecretValue = Field(
        description="An object of texts, or one text; 64 KiB at most. `${secret:path#key}` in it "
        "stands for another secret",
        examples=[{"user": "mailer", "password": "example"}],
    )
    cas: Cas | None = Field(None, description=_CAS_TEXT)
    ttl_seconds: Ttl | None = Field(None, description=_TTL_TEXT)


class SecretPatch(Input):
    """Keys to set or to take away; the others stay."""

    value: Annotated[
        dict[Key, Text | None],
        Field(min_length=1, max_length=MAX_KEYS, json_schema_extra=_NO_OTHERS),
        _Unquoted,
    ] = Field(description="null takes a key away (RFC 7396)", examples=[{"password": "another"}])
    cas: Cas | None = Field(None, description=_CAS_TEXT)
    ttl_seconds: Ttl | None = Field(None, description=_TTL_TEXT)


class SecretPut(Input):
    """How a secret is kept; what is left out is as for a new one."""

    description: str = Field("", max_length=500, examples=["Of the relay in Frankfurt"])
    labels: Annotated[dict[Key, Label], Field(max_length=20, json_schema_extra=_NO_OTHERS)] = Field(
        {}, examples=[{"owner": "billing"}]
    )
    max_versions: int = Field(DEFAULT_VERSIONS, ge=1, le=MAX_VERSIONS, description="Kept at most")
    cas_required: bool = Field(
        False, description="Take no write that does not say what it replaces"
    )
    ttl_seconds: Ttl | None = Field(None, description="Of new versions; null: they do not end")
    remind_seconds: int = Field(
        DEFAULT_REMIND_SECONDS,
        ge=0,
        le=MAX_TTL_SECONDS,
        description="So long before its end a new version is told of, or in the middle of a life "
        "shorter than twice that",
    )


class SecretOut(BaseModel):
    """A secret without its values; state and end are its newest version's."""

    id: str
    environment: str
    path: str
    description: str
    labels: dict[str, str]
    newest_version: int
    state: State
    expires_at: datetime | None
    max_versions: int
    cas_required: bool
    ttl_seconds: int | None
    remind_seconds: int
    created_by: str = Field(examples=["user:0199c0de-0000-7000-8000-000000000001"])
    created_at: datetime
    updated_at: datetime


class SecretEnvironmentsOut(BaseModel):
    """Environments that hold secrets."""

    items: list[str] = Field(description="Names, in order", examples=[["default", "production"]])


class SecretVersionOut(BaseModel):
    """A version of a secret without its value."""

    id: str
    secret_id: str
    path: str
    environment: str
    version: int
    state: State
    size_bytes: int = Field(description="Sealed; 0 once the value is destroyed")
    created_by: str = Field(examples=["user:0199c0de-0000-7000-8000-000000000001"])
    created_at: datetime
    expires_at: datetime | None
    deleted_at: datetime | None
    destroyed_at: datetime | None


class SecretValueOut(BaseModel):
    """A version with its value."""

    secret_id: str
    path: str
    environment: str
    version: int
    created_at: datetime
    expires_at: datetime | None
    value: dict[str, str] | str
    references: list[str] = Field(
        description="Secrets that the value's references were of: `path@version`"
    )


class SecretDifferenceOut(BaseModel):
    """Keys of two versions; the key of a secret that is one text is empty. No value."""

    from_version: int
    to_version: int
    added: list[str]
    removed: list[str]
    changed: list[str]
    same: list[str]


class SecretTokenCreate(Input):
    """Which execution may read which secret, once."""

    path: SecretPath = Field(examples=["billing/smtp"])
    environment: Environment = Field(DEFAULT_ENVIRONMENT, examples=["production"])
    version: VersionNumber | None = Field(None, description="null: the newest at that time")
    workflow_id: OfN8n = Field(description="As n8n calls it", examples=["8sBqYH3wN1tRz0Qk"])
    execution_id: OfN8n | None = Field(
        None,
        description="As n8n calls it; null: whichever execution of the workflow comes first",
        examples=["4711"],
    )
    ttl_seconds: int = Field(300, ge=1, le=MAX_TOKEN_SECONDS)


class SecretTokenOut(BaseModel):
    """A right to read once, without the token."""

    id: str
    secret_id: str
    version: int | None
    workflow_id: str
    execution_id: str | None
    created_by: str = Field(examples=["user:0199c0de-0000-7000-8000-000000000001"])
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None
    used_version: int | None


class SecretTokenSecretOut(SecretTokenOut, ShownOnce):
    """A right to read once, with the token, which is shown this once."""

    secrets = ("token",)
    another = "Revoke this token and make another one."

    token: str = Field("", description="Shown once; only its hash is kept. Absent from a replay")


class SecretTokenRedeem(Input):
    """A token, and which execution asks."""

    token: str = Field(
        min_length=1,
        max_length=100,
        examples=["es_once_0000000000000000000000000000000000000000000000000"],
    )
    workflow_id: OfN8n = Field(examples=["8sBqYH3wN1tRz0Qk"])
    execution_id: OfN8n = Field(examples=["4711"])


class RedeemedSecretOut(ShownOnce):
    """The value that the token was for."""

    secrets = ("value",)
    another = "Have another token made."

    secret_id: str
    path: str
    environment: str
    version: int
    value: dict[str, str] | str = Field("", description="Given once. Absent from a replay")


class SecretGrantCreate(Input):
    """A folder opened to a role, and so closed to those that have no grant there."""

    folder: SecretPath = Field(examples=["billing"])
    environment: Environment | Literal["*"] = Field(
        "*", description="`*`: in all of them", examples=["*"]
    )
    role: Role = Field(examples=["operator"])
    access: Access = Field(description="`write` includes `read`", examples=["read"])


class SecretGrantOut(BaseModel):
    """A role to which a folder is open."""

    id: str
    folder: str
    environment: str
    role: str
    access: Access
    created_by: str = Field(examples=["user:0199c0de-0000-7000-8000-000000000001"])
    created_at: datetime
