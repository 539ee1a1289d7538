"""Tables of the identity manager. Private: other managers ask the manager."""

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Mapped, mapped_column

from backend.core.database import Base, Id, Json, TenantOwned


class OauthClient(TenantOwned, Base):
    """A program that authenticates with a secret; the console is one, of the platform's tenant."""

    __tablename__ = "oauth_clients"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    client_id: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    role: Mapped[str]
    secret_hash: Mapped[bytes]
    redirect_uris: Mapped[list[str]] = mapped_column(Json)
    grant_types: Mapped[list[str]] = mapped_column(Json)
    disabled: Mapped[bool]
    created_at: Mapped[datetime]
    scopes: Mapped[list[str] | None] = mapped_column(Json)
    networks: Mapped[list[str] | None] = mapped_column(Json)
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]


class SigningKey(Base):
    """An ES256 key; ``not_after`` is set when it stops signing and says when it stops verifying."""

    __tablename__ = "signing_keys"
    kid: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str]
    public_jwk: Mapped[dict[str, Any]]
    sealed_private_jwk: Mapped[bytes]
    created_at: Mapped[datetime]
    not_after: Mapped[datetime | None]


class BrowserSession(Base):
    """One browser's log-in. ``id`` travels as ``sid`` in tokens; the cookie's value does not."""

    __tablename__ = "sessions"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    cookie_hash: Mapped[bytes] = mapped_column(unique=True)
    user_id: Mapped[str] = mapped_column(Id, index=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)


class AuthorizationCode(Base):
    """A code until it expires; ``jti`` is set by the one request that claims it."""

    __tablename__ = "authorization_codes"
    code_hash: Mapped[bytes] = mapped_column(primary_key=True)
    client_id: Mapped[str]
    user_id: Mapped[str] = mapped_column(Id)
    session_id: Mapped[str] = mapped_column(Id)
    redirect_uri: Mapped[str]
    scope: Mapped[str]
    nonce: Mapped[str]
    code_challenge: Mapped[str]
    auth_time: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    jti: Mapped[str | None]


class RevokedToken(Base):
    """An access token that may not be used any more although its signature still holds."""

    __tablename__ = "revoked_tokens"
    jti: Mapped[str] = mapped_column(primary_key=True)
    expires_at: Mapped[datetime] = mapped_column(index=True)
