"""What all request bodies have in common, what several managers take, how a value is shown."""

import re
from datetime import UTC, date, datetime
from types import UnionType
from typing import Annotated, Any, ClassVar, Final, TypeVar, Union, get_args, get_origin
from unicodedata import normalize

from email_validator import EmailNotValidError, validate_email
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from backend.core.sound_json import refuse_unsound

_RFC_3339: Final = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.IGNORECASE
)
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)

_FEW_UNKNOWN: Final = 20

_Out = TypeVar("_Out", bound=BaseModel)

PRINTED: Final = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"
"""The pattern of what people write in a line: no control characters, and something to see."""

Name = Annotated[str, Field(min_length=1, max_length=100, pattern=PRINTED)]
"""What people call a thing: no control characters, and something to see."""


Slug = Annotated[str, Field(min_length=2, max_length=40, pattern=r"^[a-z][a-z0-9-]*[a-z0-9]$")]
"""What addresses and settings call a thing."""


def _email(text: str) -> str:
    # Compatibility forms are the same person here, so they are the same mailbox too: one that is
    # spelled so that nobody reads its mail would be in the way of whoever it stands for.
    plain = normalize("NFKC", text)
    try:
        found = validate_email(
            plain, check_deliverability=False, test_environment=True, globally_deliverable=False
        )
    except EmailNotValidError as exc:
        raise ValueError(str(exc)) from exc
    return found.normalized


Email = Annotated[
    str, Field(max_length=254, json_schema_extra={"format": "email"}), AfterValidator(_email)
]
"""An e-mail address that people log in with, or are invited by."""


def _rfc_3339(value: Any) -> Any:
    # Left alone, pydantic also reads numbers, as text or not, and guesses their unit by their size.
    if not isinstance(value, str):
        return value
    if not _RFC_3339.fullmatch(value):
        raise ValueError("a time is written like 2027-01-31T12:00:00Z")
    return datetime.fromisoformat(value.upper())


def _in_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError as exc:
        raise ValueError("the time lies beyond the calendar") from exc


IdText = Annotated[str, Field(pattern="^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
"""An id as it is given out: others are no thing's, and some databases take them for errors."""

Time = Annotated[AwareDatetime, BeforeValidator(_rfc_3339), AfterValidator(_in_utc)]
"""An RFC 3339 time, given back in UTC."""


def _full_date(value: Any) -> Any:
    # As for a time: pydantic would read a number, and text that is one.
    if not isinstance(value, str):
        return value
    if not _DATE.fullmatch(value):
        raise ValueError("a date is written like 2027-01-31")
    return date.fromisoformat(value)


Day = Annotated[date, BeforeValidator(_full_date)]
"""An RFC 3339 date."""


def _is_of_integers(annotation: Any) -> bool:
    """Whether it is an integer, one that may be missing, or a list or object of such."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _is_of_integers(arguments[0])
    if origin in {Union, UnionType}:
        return any(map(_is_of_integers, arguments))
    if origin in {list, dict}:
        return _is_of_integers(arguments[-1])
    return annotation is int


def _integral(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_integral(one) for one in value]
    if isinstance(value, dict):
        return {name: _integral(one) for name, one in value.items()}
    return value


class Input(BaseModel):
    """A request body: no unknown field, no conversion, no text that cannot be kept.

    PostgreSQL has no NUL in text and nothing encodes half a surrogate pair; JSON can carry both.
    Refused here for all fields at once, free-form ones included, so that every database and every
    manager behind meets only texts that can be stored.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    _wholes: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        """Know the fields of integers."""
        cls._wholes = frozenset(
            field.alias or name
            for name, field in cls.model_fields.items()
            if _is_of_integers(field.annotation)
        )

    @model_validator(mode="before")
    @classmethod
    def _take_in(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        # A few are named one by one, which helps; describing a million would take a quarter of a
        # minute.
        if len(data) > len(cls.model_fields) + _FEW_UNKNOWN:
            raise ValueError(f"{len(data)} fields, where {len(cls.model_fields)} are known")
        # JSON knows numbers alone: 7.0 is the integer 7 (JSON Schema 2020-12 validation, 6.1.1).
        written = {name: _integral(data[name]) for name in cls._wholes & data.keys()}
        return data | written if written else data

    @model_validator(mode="before")
    @classmethod
    def _refuse_unsound(cls, data: Any) -> Any:
        refuse_unsound(data)
        return data


class ShownOnce(BaseModel):
    """An answer that shows a secret, and is kept for replays without it.

    What is kept could be asked for again for a day by whoever learns the Idempotency-Key, and
    read by whoever has the database and its root key: nothing of ours is kept to be read.

    Attributes:
        secrets: The fields that are shown once.
        another: What to do if the first answer was lost.
    """

    secrets: ClassVar[tuple[str, ...]]
    another: ClassVar[str]

    secret_withheld: str | None = Field(
        None,
        description="Only in a replay by Idempotency-Key, which lacks the secret: what to do",
    )

    def withheld(self) -> bytes:
        """The answer as JSON without its secrets, which says that they were shown before."""
        said = f"The secret was shown once, in the first answer to this request. {self.another}"
        kept = self.model_copy(update={"secret_withheld": said})
        return kept.model_dump_json(by_alias=True, exclude=set(self.secrets)).encode()


def view(out: type[_Out], value: object, **more: Any) -> _Out:
    """A manager's value as it goes over the wire: each field is the value's attribute of that name.

    Args:
        out: The wire type; what it nests is read the same way.
        value: What the manager gave.
        more: Fields that the value does not have, or not so.
    """
    shown = _With(value, more) if more else value
    return out.model_validate(shown, from_attributes=True)


class _With:
    """A value and attributes that are not its own."""

    def __init__(self, value: object, more: dict[str, Any]) -> None:
        self._value = value
        self.__dict__.update(more)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._value, name)
