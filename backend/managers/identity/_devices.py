"""Browsers in which somebody has logged in before: strangers' failures do not shut those out.

A cookie in the way of OWASP's device cookies: whoever has one spends attempts of its own, so that
the account's attempts, which anybody can use up, are for browsers that nobody has logged in with.
It opens nothing: password and second factor are asked for all the same.
"""

import base64
import binascii
import secrets
from typing import Final

from backend.core.context import SystemScope
from backend.core.database import Database, Tx
from backend.managers.identity._failures import digest_of
from backend.managers.identity.errands import AUTHENTICATE
from backend.managers.security import KeyUnavailableError, SealBrokenError, SecurityManager

DEVICE_SECONDS: Final = 365 * 86_400
_NONCE_BYTES: Final = 16
_MAX_CHARACTERS: Final = 512


class KnownDevices:
    """Makes and reads the cookies, sealed for one account each with the platform's keyring."""

    def __init__(self, database: Database, security: SecurityManager) -> None:
        self._database = database
        self._security = security

    async def remember(self, tx: Tx, account: str) -> str:
        """A cookie for the browser in which this account has just logged in."""
        keyring = await self._security.keyring(tx)
        sealed = keyring.seal(_context(account), secrets.token_bytes(_NONCE_BYTES))
        return base64.urlsafe_b64encode(sealed).decode().rstrip("=")

    async def attempts_of(self, account: str, cookie: str | None) -> str:
        """Whose attempts a browser spends: its own when it is known, else the account's."""
        if not cookie or len(cookie) > _MAX_CHARACTERS:
            return account
        try:
            sealed = base64.urlsafe_b64decode(cookie + "=" * (-len(cookie) % 4))
            async with self._database.read(SystemScope(AUTHENTICATE)) as view:
                keyring = await self._security.keyring(view)
            nonce = keyring.open(_context(account), sealed)
        except (binascii.Error, ValueError, SealBrokenError, KeyUnavailableError):
            return account
        return f"device:{nonce.hex()}"


def _context(account: str) -> str:
    return f"known_device:{digest_of(account).hex()}"
