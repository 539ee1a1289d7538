"""Where the root key comes from."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class SecuritySettings(BaseModel):
    """Exactly one of the two sources is used; the environment wins over the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    root_key: SecretStr | None = Field(
        None, description="Root key, 32 bytes in base64. Wraps every tenant's data key."
    )
    root_key_file: Path | None = Field(
        None, description="File that holds the same, mode 0600; made at the first start if absent."
    )
