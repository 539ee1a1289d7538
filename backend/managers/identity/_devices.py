"""Browsers in which somebody has logged in before: strangers' failures do not shut those out.

A cookie in the way of OWASP's device cookies: whoever has one spends attempts of its own, so that
the account's attempts, which anybody can use up, are for browsers that nobody has logged in with.
It opens nothing: password and second factor are asked for all the same. It counts until whoever
reads the mail of the address sets a new password: the browsers before may be somebody else's.
"""

import secrets
from datetime import UTC, datetime, timedelta
from typing import Final

from backend.core.context import SystemScope
from backend.core.database import Database, Tx
from backend.kit import base64url
from backend.managers.identity._failures import digest_of
from backend.managers.identity.errands import AUTHENTICATE
from backend.managers.security import KeyUnavailableError, SealBrokenError, SecurityManager
from backend.managers.tenant import TenantManager, email_identity

DEVICE_SECONDS: Final = 365 * 86_400
_NONCE_BYTES: Final = 16
_TIME_BYTES: Final = 8
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TICK: Final = timedelta(microseconds=1)
_MAX_CHARACTERS: Final = 512


class KnownDevices:
    """Makes and reads the cookies, sealed for one account each with the platform's keyring."""

    def __init__(
        self, database: Database, security: SecurityManager, tenants: TenantManager
    ) -> None:
        self._database = database
        self._security = security
        self._tenants = tenants

    async def remember(self, tx: Tx, email: str) -> str:
        """A cookie for the browser of whoever has just shown that this log-in is theirs."""
        keyring = await self._security.keyring(tx)
        made_at = ((tx.now() - _EPOCH) // _TICK).to_bytes(_TIME_BYTES, "big")
        content = secrets.token_bytes(_NONCE_BYTES) + made_at
        sealed = keyring.seal(_context(account_of(email)), content)
        return base64url.encode(sealed)

    async def attempts_of(self, email: str, cookie: str | None) -> str:
        """Whose attempts a browser spends: its own when it is known, else the account's."""
        account = account_of(email)
        if not cookie or len(cookie) > _MAX_CHARACTERS:
            return account
        try:
            sealed = base64url.decode(cookie)
            async with self._database.read(SystemScope(AUTHENTICATE)) as view:
                keyring = await self._security.keyring(view)
                content = keyring.open(_context(account), sealed)
                # After the seal: only who was logged in once makes us look for the account.
                found = await self._tenants.find_login(view, email)
        except (ValueError, SealBrokenError, KeyUnavailableError):
            return account
        nonce, time = content[:_NONCE_BYTES], content[_NONCE_BYTES:]
        made_at = _EPOCH + int.from_bytes(time, "big") * _TICK
        proven_at = found[0].email_proven_at if found is not None else None
        if proven_at is not None and made_at < proven_at:
            return account
        return f"device:{nonce.hex()}"


def account_of(email: str) -> str:
    """The account whose attempts all browsers share that are not known, whether there is one."""
    return f"login:{email_identity(email)}"


def _context(account: str) -> str:
    return f"known_device:{digest_of(account).hex()}"
