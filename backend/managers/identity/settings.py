"""Issuer, lifetimes and limits of log-ins, tokens and clients."""

from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class IdentitySettings(BaseModel):
    """Every value has a default that suits one machine; each is one environment variable."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    issuer: str = Field(
        "http://localhost:8400",
        description="The OAuth issuer: scheme, host and port under which browsers reach the API.",
    )
    audience: str = Field(
        "email-sender", min_length=1, description="The `aud` of access tokens for this API."
    )

    client_token_seconds: int = Field(
        600, ge=60, le=3600, description="Lifetime of access tokens from client credentials."
    )
    user_token_seconds: int = Field(
        300, ge=60, le=3600, description="Lifetime of access tokens from log-ins and exchanges."
    )
    session_seconds: int = Field(
        43_200,
        ge=300,
        le=2_592_000,
        description="Lifetime of a browser's log-in, and so of the id tokens made from it.",
    )
    code_seconds: int = Field(
        60, ge=10, le=600, description="Lifetime of an authorization code; it works once."
    )

    second_factor_seconds: int = Field(
        300, ge=30, le=3600, description="How long a log-in waits for its second factor."
    )
    require_second_factor: Literal["nobody", "administrators", "everybody"] = Field(
        "nobody",
        description=(
            "Who needs a second factor whatever their tenants ask: nobody, the platform's"
            " administrators, or everybody."
        ),
    )
    reset_seconds: int = Field(
        1800, ge=60, le=86_400, description="How long the link for a new password works."
    )
    invitation_seconds: int = Field(
        259_200, ge=600, le=2_592_000, description="How long the link of an invitation works."
    )
    step_up_seconds: int = Field(
        600,
        ge=60,
        le=86_400,
        description="How old a log-in may be for dangerous acts; older ones are asked again.",
    )
    allow_private_providers: bool = Field(
        False,
        description=(
            "Let tenants name identity providers on loopback and private networks, on loopback"
            " without TLS too."
        ),
    )
    signing_key_days: int = Field(
        30, ge=1, le=3650, description="After so many days tokens are signed with a new key."
    )

    account_failures_per_minute: float = Field(
        6, gt=0, le=6000, description="Failed log-ins or client authentications per account."
    )
    account_burst_failures: int = Field(
        10, ge=1, le=10_000, description="The same: how many at once before the rate holds."
    )
    address_failures_per_minute: float = Field(
        30, gt=0, le=60_000, description="Failed log-ins or client authentications per address."
    )
    address_burst_failures: int = Field(
        50, ge=1, le=100_000, description="The same: how many at once before the rate holds."
    )
    password_checks_at_once: int = Field(
        4, ge=1, le=64, description="Password hashes computed in parallel, 19 MiB and 25 ms each."
    )

    @field_validator("issuer")
    @classmethod
    def _issuer_is_an_origin(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("the issuer is an origin such as https://mail.example.org")
        if parts.path or parts.query or parts.fragment or parts.username:
            raise ValueError("the issuer has no path, query, fragment or user, not even a slash")
        if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
            raise ValueError("an issuer that is not on localhost must be https")
        return value

    @property
    def secure(self) -> bool:
        """Whether browsers reach us by TLS only, so that cookies may say ``Secure``."""
        return self.issuer.startswith("https:")

    @property
    def longest_token_seconds(self) -> int:
        """How long the last signature of a key may be in use: what a retiring key waits for."""
        return max(self.client_token_seconds, self.user_token_seconds, self.session_seconds)
