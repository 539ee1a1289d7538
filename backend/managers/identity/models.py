"""Tables of the identity manager. Private: other managers ask the manager."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
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
    last_seen_at: Mapped[datetime]
    address: Mapped[str]
    agent: Mapped[str]
    # How they proved who they are, by RFC 8176, and when: at a provider it may have been long ago.
    methods: Mapped[list[str]] = mapped_column(Json)
    authenticated_at: Mapped[datetime]
    # Through a tenant's provider, it is good for that tenant alone.
    provider_id: Mapped[str | None] = mapped_column(Id)
    bound_to: Mapped[str | None] = mapped_column(Id)

    __table_args__ = (sa.Index(None, "provider_id"),)


class PendingLogIn(Base):
    """A log-in whose second factor is awaited; the value that finds it is one browser's.

    ``sealed_secret`` is that of somebody who has no second factor yet and has to get one first.
    """

    __tablename__ = "pending_log_ins"
    token_hash: Mapped[bytes] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(Id, index=True)
    methods: Mapped[list[str]] = mapped_column(Json)
    authenticated_at: Mapped[datetime | None]
    provider_id: Mapped[str | None] = mapped_column(Id)
    bound_to: Mapped[str | None] = mapped_column(Id)
    sealed_secret: Mapped[bytes | None]
    expires_at: Mapped[datetime] = mapped_column(index=True)


class TotpSecret(Base):
    """A person's second factor, from ``confirmed_at`` on.

    ``last_step`` is the newest time step whose code was taken: none is taken twice.
    """

    __tablename__ = "totp_secrets"
    user_id: Mapped[str] = mapped_column(Id, primary_key=True)
    sealed_secret: Mapped[bytes]
    last_step: Mapped[int]
    created_at: Mapped[datetime]
    confirmed_at: Mapped[datetime | None]


class RecoveryCode(Base):
    """One way in without the device; the row goes when it is used."""

    __tablename__ = "recovery_codes"
    user_id: Mapped[str] = mapped_column(Id, primary_key=True)
    code_hash: Mapped[bytes] = mapped_column(primary_key=True)


class LoginPolicyRow(TenantOwned, Base):
    """What a tenant asks of its people's log-ins."""

    __tablename__ = "login_policies"
    tenant_id: Mapped[str] = mapped_column(Id, primary_key=True)
    require_second_factor: Mapped[bool]
    updated_at: Mapped[datetime]


class IdentityProviderRow(TenantOwned, Base):
    """A tenant's own OpenID provider; ``domain`` counts unless it is only ``claimed``."""

    __tablename__ = "identity_providers"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    name: Mapped[str]
    issuer: Mapped[str]
    client_id: Mapped[str]
    sealed_secret: Mapped[bytes]
    groups_claim: Mapped[str]
    # Pairs of group and role: of several the first counts, and objects keep no order.
    roles_by_group: Mapped[list[list[str]]] = mapped_column(Json)
    default_role: Mapped[str | None]
    second_factor: Mapped[bool]
    domain: Mapped[str | None]
    domain_state: Mapped[str]
    domain_token: Mapped[str]
    enforced: Mapped[bool]
    disabled: Mapped[bool]
    created_at: Mapped[datetime]

    # A log-in's: whose domain is this? And of two that claim one, one has it.
    __table_args__ = (
        sa.Index(
            "uq_identity_providers_domain",
            "domain",
            unique=True,
            sqlite_where=sa.column("domain_state") != "claimed",
            postgresql_where=sa.column("domain_state") != "claimed",
        ),
        sa.Index("ix_identity_providers_id", "id"),
    )

    @classmethod
    def holds(cls, role: str) -> sa.ColumnElement[bool]:
        """Which rows hand a role out at log-ins, disabled ones as well: they can be enabled again.

        The pairs are looked at as the text they are kept as: a quoted name before a closing bracket
        is a pair's second part, whatever groups are called, for their quotes are escaped.
        """
        mapped = sa.cast(cls.roles_by_group, sa.Text).contains(f'"{role}"]', autoescape=True)
        return sa.or_(cls.default_role == role, mapped)


class ExternalLogInRow(Base):
    """A browser on its way to a provider and back; one use."""

    __tablename__ = "external_log_ins"
    state_hash: Mapped[bytes] = mapped_column(primary_key=True)
    provider_id: Mapped[str] = mapped_column(Id, index=True)
    return_to: Mapped[str]
    max_age: Mapped[int | None]
    expires_at: Mapped[datetime] = mapped_column(index=True)


class PasswordReset(Base):
    """A link by which a person sets a new password; deleted by the one who uses it."""

    __tablename__ = "password_resets"
    token_hash: Mapped[bytes] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(Id, index=True)
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


class InvitationRow(TenantOwned, Base):
    """Somebody who may become a member; ``open_key`` is the e-mail's identity while one waits."""

    __tablename__ = "invitations"
    tenant_id: Mapped[str] = mapped_column(Id, primary_key=True)
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    email: Mapped[str]
    open_key: Mapped[str | None]
    name: Mapped[str]
    role: Mapped[str]
    # Whose link is this? Its tenant is not known before. The one that is mailed is another than the
    # one that is shown: who has it reads the mail of the address.
    token_hash: Mapped[bytes] = mapped_column(unique=True)
    mailed_hash: Mapped[bytes | None]
    invited_by: Mapped[str]
    by_platform: Mapped[bool]
    created_at: Mapped[datetime]
    # A sweep's, of all tenants.
    expires_at: Mapped[datetime] = mapped_column(index=True)
    accepted_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]

    __table_args__ = (
        sa.UniqueConstraint("tenant_id", "open_key"),
        sa.Index("uq_invitations_mailed_hash", "mailed_hash", unique=True),
    )

    @classmethod
    def holds(cls, role: str) -> sa.ColumnElement[bool]:
        """Which rows hold a role still: those that waited last, not what became of others."""
        return sa.and_(cls.role == role, cls.open_key.is_not(None))
