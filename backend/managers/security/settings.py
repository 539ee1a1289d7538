"""Where the root key comes from, how old data keys may become, and how much the routes take."""

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator


class SecuritySettings(BaseModel):
    """One source of the root key is used: the environment, else the command, else the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    root_key: SecretStr | None = Field(
        None, description="Root key, 32 bytes in base64. Wraps every tenant's data key."
    )
    root_key_previous: SecretStr | None = Field(
        None, description="The one before, while `rotate-root` is under way: it still opens."
    )
    root_key_derivation: SecretStr | None = Field(
        None,
        description="With `root_key`: what keys of single uses are derived from, in base64, once "
        "the root key that they came from is gone; `rotate-root --derivation` prints it.",
    )
    root_key_command: tuple[str, ...] = Field(
        (),
        description="Program and arguments that print it, a line, within 10 s: for a KMS or vault.",
    )
    root_key_file: Path | None = Field(
        None, description="File that holds the same, mode 0600; made at the first start if absent."
    )
    max_body_bytes: int = Field(
        8 * 2**20, ge=2**16, description="`/api/v1/keys` and below: HTTP body of one request."
    )
    requests_per_second: float = Field(
        1000, gt=0, le=1_000_000, description="`/api/v1/keys` and below: rate per caller."
    )
    burst_requests: int = Field(
        2000, ge=1, le=10_000_000, description="`/api/v1/keys` and below: burst per caller."
    )
    rotate_days: float = Field(
        90, gt=0, description="A tenant's data key is replaced after so long. A day is 86400 s."
    )
    keyring_seconds: float = Field(
        30,
        gt=0,
        description="For so long a process seals with the keys it has read; a new version seals "
        "after twice that, when all processes know it.",
    )
    settle_seconds: float = Field(
        120, ge=0, description="No write takes longer: after that the old version has no writers."
    )
    rewrap_rows_per_second: float = Field(
        2000, gt=0, description="Rows that sealing anew looks at, in the whole installation."
    )

    @model_validator(mode="after")
    def _refuse_two_sources(self) -> Self:
        named = [self.root_key is not None, bool(self.root_key_command)]
        if sum(named) > 1:
            raise ValueError("root_key and root_key_command exclude each other")
        for name in ("root_key_previous", "root_key_derivation"):
            if getattr(self, name) is not None and self.root_key is None:
                raise ValueError(f"{name} goes with root_key")
        return self
