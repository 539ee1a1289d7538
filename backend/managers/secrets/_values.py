"""What the room hands out, and which values, paths and keys there may be."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

from backend.managers.secrets.errors import SecretTooLargeError, SecretValueError

Value = dict[str, str] | str
"""An object of texts, or one text."""
State = Literal["live", "deleted", "expired", "destroyed"]
Access = Literal["read", "write"]

DEFAULT_ENVIRONMENT: Final = "default"
EVERY_ENVIRONMENT: Final = "*"
ENVIRONMENT_PATTERN: Final = r"^[a-z][a-z0-9_-]{0,39}$"
SEGMENT: Final = r"[A-Za-z0-9_-][A-Za-z0-9_.-]*"
PATH_PATTERN: Final = rf"^{SEGMENT}(?:/{SEGMENT})*$"
KEY: Final = r"[A-Za-z0-9_.-]{1,100}"
KEY_PATTERN: Final = rf"^{KEY}$"
MAX_PATH: Final = 128
MAX_KEYS: Final = 100
MAX_VALUE_BYTES: Final = 64 * 1024
_STEP_BYTES: Final = 64
MAX_VERSIONS: Final = 100
DEFAULT_VERSIONS: Final = 10
MAX_TTL_SECONDS: Final = 10 * 366 * 86_400
DEFAULT_REMIND_SECONDS: Final = 7 * 86_400
MAX_TOKEN_SECONDS: Final = 3600


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret without its values; the state and end are those of its newest version."""

    id: str
    environment: str
    path: str
    description: str
    labels: Mapping[str, str]
    newest_version: int
    state: State
    expires_at: datetime | None
    max_versions: int
    cas_required: bool
    ttl_seconds: int | None
    remind_seconds: int
    created_by: str
    created_at: datetime
    updated_at: datetime
    revision: str

    @property
    def name(self) -> str:
        """What lists are sorted by."""
        return self.path


@dataclass(frozen=True, slots=True)
class Version:
    """A version without its value."""

    id: str
    secret_id: str
    path: str
    environment: str
    version: int
    state: State
    size_bytes: int
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    deleted_at: datetime | None
    destroyed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Revealed:
    """A version with its value, and the secrets (``path@version``) that its references are of."""

    secret_id: str
    path: str
    environment: str
    version: int
    created_at: datetime
    expires_at: datetime | None
    value: Value = field(repr=False)
    references: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Difference:
    """Which keys two versions have, and which of the common ones hold the same; no value."""

    from_version: int
    to_version: int
    added: Sequence[str]
    removed: Sequence[str]
    changed: Sequence[str]
    same: Sequence[str]


@dataclass(frozen=True, slots=True)
class Keeping:
    """How a secret's versions are kept, and what people say of it.

    Attributes:
        max_versions: So many of the newest are kept.
        cas_required: A write must say which version it replaces.
        ttl_seconds: How long a new version lives if its write does not say; None: for ever.
        remind_seconds: So long before its end a version is told of, or in the middle of a life
            that is shorter than twice this.
    """

    description: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    max_versions: int = DEFAULT_VERSIONS
    cas_required: bool = False
    ttl_seconds: int | None = None
    remind_seconds: int = DEFAULT_REMIND_SECONDS


@dataclass(frozen=True, slots=True)
class Token:
    """A right to read once, without the token."""

    id: str
    secret_id: str
    version: int | None
    workflow_id: str
    execution_id: str | None
    created_by: str
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None
    used_version: int | None


@dataclass(frozen=True, slots=True)
class Grant:
    """A role to which a folder is open."""

    id: str
    folder: str
    environment: str
    role: str
    access: Access
    created_by: str
    created_at: datetime


def refuse_place(path: str, environment: str) -> None:
    """Refuse what no secret can be called.

    Raises:
        SecretValueError: It is no path, or no environment.
    """
    if len(path) > MAX_PATH or not re.fullmatch(PATH_PATTERN.strip("^$"), path):
        raise SecretValueError("A path is written like billing/smtp").at("path")
    if not re.fullmatch(ENVIRONMENT_PATTERN.strip("^$"), environment):
        raise SecretValueError("An environment is written like production").at("environment")


def packed(value: Value) -> bytes:
    """The bytes of a value that are sealed: JSON in UTF-8, and spaces up to a multiple of 64.

    What is sealed is as long as what is in it, and whoever lists versions, or the database, sees
    how long it is: of one password that is its length.

    Raises:
        SecretValueError: It is empty, has too many keys or one that cannot be referred to.
        SecretTooLargeError: It has more than 64 KiB.
    """
    if not value:
        raise SecretValueError("A secret is not empty").at("value")
    if isinstance(value, dict):
        if len(value) > MAX_KEYS:
            raise SecretValueError(f"A secret has at most {MAX_KEYS} keys").at("value")
        for key in value:
            # Not told by name: whoever mistook the places would read the value in the answer.
            if not re.fullmatch(KEY, key):
                raise SecretValueError(
                    "A key has up to 100 letters, digits, dots, dashes and underscores"
                ).at("value")
    data = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    if len(data) > MAX_VALUE_BYTES:
        raise SecretTooLargeError(f"A value has at most {MAX_VALUE_BYTES} bytes").at("value")
    return data.ljust(-(-len(data) // _STEP_BYTES) * _STEP_BYTES)


def unpacked(data: bytes) -> Value:
    """The value of :func:`packed` bytes."""
    value: Value = json.loads(data)
    return value


def folders_of(path: str) -> list[str]:
    """The folders that a path lies in, the deepest first: of ``a/b/c`` these are a/b and a."""
    parts = path.split("/")[:-1]
    return ["/".join(parts[:count]) for count in range(len(parts), 0, -1)]
