"""Tokens: the signing keys with their overlap, signing, verifying.

Access tokens are JWTs of RFC 9068 signed with ES256. Their header says ``typ: at+jwt`` and their
audience is this API; an id token has another type and another audience, so neither passes for the
other. The key is chosen by the header's ``kid`` among ours alone, and the algorithm is fixed: what
a token claims about its own algorithm is never followed.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

import msgspec
import sqlalchemy as sa
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from backend.core.context import SystemScope
from backend.core.database import Database, ReadTx, Tx
from backend.managers.identity._sealed import signing_key_place
from backend.managers.identity.errands import AUTHENTICATE
from backend.managers.identity.models import SigningKey
from backend.managers.security import SecurityManager

logger = logging.getLogger(__name__)

T = TypeVar("T")

SIGNING_KEYS_CHANGED: Final = "signing_keys"
"""The signal that says: a key was made or retired, load them again."""

MAX_TOKEN_CHARACTERS: Final = 4096
_ALGORITHM: Final = "ES256"
_ACCESS_TYPE: Final = "at+jwt"
_ID_TYPE: Final = "JWT"
_RELOAD_SECONDS: Final = 60.0
_UNKNOWN_KEY_RELOAD_SECONDS: Final = 1.0
_SKEW_SECONDS: Final = 60


class TokenInvalidError(ValueError):
    """The token does not hold: malformed, forged, expired, for somebody else."""


class TokenExpiredError(TokenInvalidError):
    """The access token is ours in every respect, and its time is over."""


class UnknownKeyError(TokenInvalidError):
    """The token names a key we do not have; another process may just have made it."""


@dataclass(frozen=True, slots=True)
class AccessClaims:
    """What a verified access token says. Times are epoch seconds."""

    subject: str
    client_id: str
    tenant_id: str
    scope: str
    token_id: str
    issued_at: int
    expires_at: int
    session_id: str


@dataclass(frozen=True, slots=True)
class SigningKeyState:
    """What may be known of a signing key: all but the key.

    The ``active`` one signs. A ``retiring`` one verifies what it signed, up to ``until``; one that
    another process made at the same moment as the first has no end until the next rotation.
    """

    kid: str
    state: str
    algorithm: str
    created_at: datetime
    until: datetime | None


class KeySet:
    """The keys at one moment: one signs, all verify. Immutable."""

    __slots__ = ("_kid", "_private", "_public", "jwks")

    def __init__(self, kid: str, private: ECKey, public: Mapping[str, Mapping[str, Any]]) -> None:
        self._kid = kid
        self._private = private
        self._public = {name: ECKey.import_key(dict(jwk)) for name, jwk in public.items()}
        self.jwks: bytes = msgspec.json.encode({"keys": list(public.values())})

    def sign_access(self, claims: Mapping[str, Any]) -> str:
        """A signed access token; 0.1 ms."""
        return self._sign(_ACCESS_TYPE, claims)

    def sign_id(self, claims: Mapping[str, Any]) -> str:
        """A signed id token; 0.1 ms."""
        return self._sign(_ID_TYPE, claims)

    def _sign(self, kind: str, claims: Mapping[str, Any]) -> str:
        header = {"alg": _ALGORITHM, "typ": kind, "kid": self._kid}
        return jwt.encode(header, dict(claims), self._private, algorithms=[_ALGORITHM])

    def verify(self, token: str, kind: str) -> dict[str, Any]:
        """The claims of a token of ours, whatever they say.

        Raises:
            UnknownKeyError: Signed, perhaps, with a key that is not in this set.
            TokenInvalidError: Everything else.
        """
        if len(token) > MAX_TOKEN_CHARACTERS or token.count(".") != 2:
            raise TokenInvalidError("not a token of ours")
        try:
            header = jws.extract_compact(token.encode()).headers()
            if header.get("typ") != kind or header.get("alg") != _ALGORITHM:
                raise TokenInvalidError("another type or algorithm")
            key = self._public.get(str(header.get("kid")))
            if key is None:
                raise UnknownKeyError("unknown key")
            return dict(jwt.decode(token, key, algorithms=[_ALGORITHM]).claims)
        except (JoseError, UnicodeEncodeError, ValueError, TypeError) as exc:
            if isinstance(exc, TokenInvalidError):
                raise
            raise TokenInvalidError("malformed or forged") from exc


class KeyStore:
    """Keeps the current :class:`KeySet`; makes the first key when there is none."""

    def __init__(
        self,
        database: Database,
        security: SecurityManager,
        *,
        retire_after_seconds: int,
        monotonic: Callable[[], float],
    ) -> None:
        self._database = database
        self._security = security
        self._retire_after = timedelta(seconds=retire_after_seconds + _SKEW_SECONDS)
        self._monotonic = monotonic
        self._keys: KeySet | None = None
        self._loaded_at = 0.0
        self._forgotten = 0
        self._loading = asyncio.Lock()

    def forget(self) -> None:
        """Load again at next need; what is being read just now is used and not kept."""
        self._keys = None
        self._forgotten += 1

    async def current(self) -> KeySet:
        """The keys, from memory unless they are a minute old."""
        keys = self._keys
        if keys is not None and self._monotonic() < self._loaded_at + _RELOAD_SECONDS:
            return keys
        return await self._load(_RELOAD_SECONDS)

    async def reload(self) -> KeySet:
        """The keys as the database has them now, at most one look a second.

        Tokens that name unknown keys lead here, and anybody can send such tokens.
        """
        return await self._load(_UNKNOWN_KEY_RELOAD_SECONDS)

    async def apply(self, read: Callable[[KeySet], T]) -> T:
        """What ``read`` makes of the keys, asked again with fresh ones when it misses one."""
        try:
            return read(await self.current())
        except UnknownKeyError:
            return read(await self.reload())

    async def _load(self, age_seconds: float) -> KeySet:
        async with self._loading:
            keys = self._keys
            if keys is not None and self._monotonic() < self._loaded_at + age_seconds:
                return keys
            forgotten = self._forgotten
            scope = SystemScope(AUTHENTICATE)
            async with self._database.read(scope) as view:
                keys = await self._read(view)
            if keys is None:
                async with self._database.transaction(scope) as tx:
                    keys = await self._read(tx) or await self._begin(tx)
            if forgotten == self._forgotten:
                self._keys, self._loaded_at = keys, self._monotonic()
            return keys

    async def _read(self, tx: ReadTx) -> KeySet | None:
        # Two processes that start together may both make a first key. Both verify, and all
        # agree that the newest signs, so there is nothing to lock.
        rows = await _good_keys(tx)
        signer = _signer(rows)
        if signer is None:
            return None
        keyring = await self._security.keyring(tx)
        private = keyring.open(signing_key_place(signer.kid), signer.sealed_private_jwk)
        return KeySet(
            signer.kid,
            ECKey.import_key(json.loads(private)),
            {row.kid: row.public_jwk for row in rows},
        )

    async def _begin(self, tx: Tx) -> KeySet:
        row, private = await self._make(tx)
        tx.audit("signing_key.created", f"signing_key:{row.kid}")
        return KeySet(row.kid, private, {row.kid: row.public_jwk})

    async def _make(self, tx: Tx) -> tuple[SigningKey, ECKey]:
        private = ECKey.generate_key(
            "P-256", parameters={"alg": _ALGORITHM, "use": "sig"}, auto_kid=True
        )
        kid = str(private.kid)
        keyring = await self._security.keyring(tx)
        row = SigningKey(
            kid=kid,
            state="active",
            public_jwk=private.as_dict(private=False),
            sealed_private_jwk=keyring.seal(
                signing_key_place(kid), json.dumps(private.as_dict(private=True)).encode()
            ),
            created_at=tx.now(),
            not_after=None,
        )
        tx.session.add(row)
        return row, private

    async def show(self, tx: ReadTx) -> list[SigningKeyState]:
        """The keys that sign or still verify, newest first."""
        rows = await _good_keys(tx)
        signer = _signer(rows)
        return [
            SigningKeyState(
                kid=row.kid,
                state="active" if row is signer else "retiring",
                algorithm=_ALGORITHM,
                created_at=row.created_at,
                until=row.not_after,
            )
            for row in rows
        ]

    async def rotate(self, tx: Tx) -> tuple[str, datetime]:
        """Sign with a new key from now on; returns its id and when the old ones die.

        Old keys verify until the last token they signed has expired. Keys already past that are
        deleted here.
        """
        now = tx.now()
        not_after = now + self._retire_after
        await tx.execute(sa.delete(SigningKey).where(SigningKey.not_after <= now))
        await tx.execute(
            sa.update(SigningKey)
            .where(SigningKey.state == "active")
            .values(state="retiring", not_after=not_after)
        )
        row, _ = await self._make(tx)
        tx.audit("signing_key.rotated", f"signing_key:{row.kid}", old_until=not_after.isoformat())
        tx.signal(SIGNING_KEYS_CHANGED)
        return row.kid, not_after

    async def rotate_older_than(self, tx: Tx, age: timedelta) -> str | None:
        """Rotate if the key that signs is at least so old; the new one's id, or None.

        Of several processes that find it old at the same moment one rotates: the others wait for
        its row, and then see that it no longer signs.
        """
        due: Sequence[SigningKey] = await tx.scalars(
            sa.select(SigningKey)
            .where(SigningKey.state == "active")
            .order_by(SigningKey.kid)
            .with_for_update()
        )
        if not due or any(row.created_at > tx.now() - age for row in due):
            return None
        kid, _ = await self.rotate(tx)
        return kid


async def _good_keys(tx: ReadTx) -> Sequence[SigningKey]:
    """The keys that verify, newest first; one of them signs."""
    rows: Sequence[SigningKey] = await tx.scalars(
        sa.select(SigningKey)
        .where(sa.or_(SigningKey.not_after.is_(None), SigningKey.not_after > tx.now()))
        .order_by(SigningKey.created_at.desc(), SigningKey.kid)
    )
    return rows


def _signer(rows: Sequence[SigningKey]) -> SigningKey | None:
    return next((row for row in rows if row.state == "active"), None)


def read_access(
    keys: KeySet, token: str, *, issuer: str, audience: str, now: float
) -> AccessClaims:
    """Verify an access token: signature, type, issuer, audience, times, and that all claims exist.

    Raises:
        UnknownKeyError: See :meth:`KeySet.verify`.
        TokenExpiredError: It held.
        TokenInvalidError: It does not hold.
    """
    claims = keys.verify(token, _ACCESS_TYPE)
    found = AccessClaims(
        subject=_text(claims, "sub"),
        client_id=_text(claims, "client_id"),
        tenant_id=_text(claims, "tenant"),
        scope=_text(claims, "scope"),
        token_id=_text(claims, "jti"),
        issued_at=_time(claims, "iat"),
        expires_at=_time(claims, "exp"),
        session_id=_text(claims, "sid") if "sid" in claims else "",
    )
    if claims.get("iss") != issuer or claims.get("aud") != audience:
        raise TokenInvalidError("another issuer or audience")
    if found.issued_at > now + _SKEW_SECONDS:
        raise TokenInvalidError("from the future")
    if found.expires_at <= now:
        raise TokenExpiredError("expired")
    return found


@dataclass(frozen=True, slots=True)
class IdClaims:
    """What a verified id token of ours says that we act upon."""

    user_id: str
    client_id: str
    session_id: str


def read_id(
    keys: KeySet, token: str, *, issuer: str, now: float, expired_too: bool = False
) -> IdClaims:
    """Verify an id token of ours.

    Args:
        expired_too: For log-out: the hint names a session, and expired ones may be ended.

    Raises:
        UnknownKeyError: See :meth:`KeySet.verify`.
        TokenInvalidError: It does not hold.
    """
    claims = keys.verify(token, _ID_TYPE)
    audience = claims.get("aud")
    if isinstance(audience, list) and len(audience) == 1:
        audience = audience[0]
    if claims.get("iss") != issuer or not isinstance(audience, str):
        raise TokenInvalidError("another issuer or audience")
    if _time(claims, "exp") <= now and not expired_too:
        raise TokenInvalidError("expired")
    return IdClaims(_text(claims, "sub"), audience, _text(claims, "sid"))


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str):
        raise TokenInvalidError(f"no text in {name}")
    return value


def _time(claims: Mapping[str, Any], name: str) -> int:
    value = claims.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise TokenInvalidError(f"no time in {name}")
    return value
