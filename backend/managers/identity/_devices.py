"""Browsers that somebody has logged in from: a guesser elsewhere does not close them to her."""

import base64
import binascii
import os
from typing import Final

from backend.core.context import SystemScope
from backend.core.database import Database, Tx
from backend.managers.identity._failures import digest_of
from backend.managers.identity.errands import AUTHENTICATE
from backend.managers.security import KeyUnavailableError, SealBrokenError, SecurityManager

DEVICE_SECONDS: Final = 180 * 86_400
"""How long a browser is known after the last log-in."""

_MAX_CHARACTERS: Final = 400


class Devices:
    """Knows them by a cookie that is sealed for one account, and stored nowhere.

    Failed attempts close an account to everybody, or a guesser would have as many tries as there
    are addresses. Where its person has logged in before they use up the device's own tries: nobody
    is locked out by others, and a device that was stolen guesses no further than a stranger.
    """

    def __init__(self, database: Database, security: SecurityManager) -> None:
        self._database = database
        self._security = security

    async def payer(self, cookie: str | None, account: str) -> str:
        """What an attempt to log in to ``account`` is charged to: the device, or the account."""
        if not cookie or len(cookie) > _MAX_CHARACTERS:
            return account
        try:
            sealed = base64.urlsafe_b64decode(cookie)
            async with self._database.read(SystemScope(AUTHENTICATE)) as view:
                keyring = await self._security.keyring(view)
            return f"device:{keyring.open(_place(account), sealed).hex()}"
        except (binascii.Error, ValueError, SealBrokenError, KeyUnavailableError):
            return account

    async def remember(self, tx: Tx, account: str) -> str:
        """A cookie for the device that has just been logged in to ``account`` from."""
        keyring = await self._security.keyring(tx)
        return base64.urlsafe_b64encode(keyring.seal(_place(account), os.urandom(16))).decode()


def _place(account: str) -> str:
    return f"device:{digest_of(account).hex()}"
