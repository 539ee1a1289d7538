"""The second factor: codes by time (RFC 6238), and recovery codes for whoever lost the device.

A code is taken once: the newest time step that was taken is kept, and one UPDATE that moves it on
decides between two who send the same code at the same moment.
"""

import base64
import hashlib
import hmac
import io
import secrets
from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import pyotp
import segno
import sqlalchemy as sa

from backend.core.database import ReadTx, Tx
from backend.managers.identity._failures import FailureLimits
from backend.managers.identity._sealed import totp_place
from backend.managers.identity.errors import (
    CodeRefusedError,
    SecondFactorExistsError,
    SecondFactorNotFoundError,
)
from backend.managers.identity.models import BrowserSession, RecoveryCode, TotpSecret
from backend.managers.security import SecurityManager
from backend.managers.tenant import PRINCIPALS

ISSUER: Final = "Email Sender"
SECOND_FACTOR_METHODS: Final = ("otp", "mfa")
"""What a log-in that gave a code adds to its methods (RFC 8176)."""

_STEP_SECONDS: Final = 30
_DRIFT_STEPS: Final = 1
_NEVER: Final = -1
# Of those that RFC 6238 knows.
_LONGEST_CODE: Final = 8
_RECOVERY_CODES: Final = 10
_RECOVERY_BYTES: Final = 10
_RECOVERY_GROUP: Final = 4


@dataclass(frozen=True, slots=True)
class SecondFactor:
    """What a person may know of their own."""

    enrolled: bool
    enrolled_at: datetime | None
    recovery_codes_left: int


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A new secret for an authenticator, in its three forms; kept nowhere readable."""

    secret: str
    uri: str
    qr_svg: str


class SecondFactors:
    """Making, checking and removing them. Needs an errand that names their tables."""

    def __init__(self, security: SecurityManager, limits: FailureLimits) -> None:
        self._security = security
        self._limits = limits

    async def find(self, tx: ReadTx, user_id: str) -> SecondFactor:
        """What the person has."""
        since = await tx.scalar(
            sa.select(TotpSecret.confirmed_at).where(TotpSecret.user_id == user_id)
        )
        left: Any = await tx.scalar(
            sa.select(sa.func.count())
            .select_from(RecoveryCode)
            .where(RecoveryCode.user_id == user_id)
        )
        return SecondFactor(since is not None, since, left)

    async def is_enrolled(self, tx: ReadTx, user_id: str) -> bool:
        """Whether a log-in of this person needs a code."""
        return bool(
            await tx.scalar(
                sa.select(TotpSecret.user_id).where(
                    TotpSecret.user_id == user_id, TotpSecret.confirmed_at.is_not(None)
                )
            )
        )

    async def begin(self, tx: Tx, user_id: str, email: str) -> Enrolment:
        """Give a secret that counts from its first code on; one that waited for it is void.

        Raises:
            SecondFactorExistsError: There is one that counts.
        """
        if await self.is_enrolled(tx, user_id):
            raise SecondFactorExistsError
        secret = pyotp.random_base32()
        await self._put(tx, user_id, secret, step=_NEVER, confirmed_at=None)
        tx.audit("second_factor.offered", f"user:{user_id}")
        return enrolment_of(secret, email)

    def attempt(self, user_id: str, address: str) -> AbstractAsyncContextManager[None]:
        """What the transaction of :meth:`confirm` runs in: how often one may guess is limited.

        Raises:
            TooManyFailuresError: From this address or for this person, before it is looked at.
        """
        return self._limits.attempt(address, f"second_factor:{user_id}")

    async def confirm(self, tx: Tx, user_id: str, code: str, *, session_id: str) -> list[str]:
        """Have the begun secret count from now on, by a code of it; gives the recovery codes.

        The log-in in which it was done has proven the second factor with it; the person's others
        end, because they have not.

        Raises:
            SecondFactorNotFoundError: None was begun.
            SecondFactorExistsError: One counts already.
            CodeRefusedError: It is none of the secret's.
        """
        row: TotpSecret | None = await tx.scalar(
            sa.select(TotpSecret).where(TotpSecret.user_id == user_id).with_for_update()
        )
        if row is None:
            raise SecondFactorNotFoundError
        if row.confirmed_at is not None:
            raise SecondFactorExistsError
        secret = await self._open(tx, user_id, row.sealed_secret)
        step = step_of(secret, code, tx.now())
        if step is None:
            raise CodeRefusedError
        row.last_step, row.confirmed_at = step, tx.now()
        return await self._begun(tx, user_id, session_id)

    async def adopt(self, tx: Tx, user_id: str, secret: str, code: str) -> list[str]:
        """Take a secret that was shown at a log-in, by a code of it; gives the recovery codes.

        Raises:
            SecondFactorExistsError: One counts already.
            CodeRefusedError: It is none of the secret's.
        """
        if await self.is_enrolled(tx, user_id):
            raise SecondFactorExistsError
        step = step_of(secret, code, tx.now())
        if step is None:
            raise CodeRefusedError
        await self._put(tx, user_id, secret, step=step, confirmed_at=tx.now())
        return await self._begun(tx, user_id, "")

    async def _begun(self, tx: Tx, user_id: str, session_id: str) -> list[str]:
        session: BrowserSession | None = (
            await tx.scalar(
                sa.select(BrowserSession).where(
                    BrowserSession.id == session_id, BrowserSession.user_id == user_id
                )
            )
            if session_id
            else None
        )
        if session is not None:
            session.methods = [*session.methods, *SECOND_FACTOR_METHODS]
        await self._end_log_ins(tx, user_id, but=session_id)
        tx.audit("second_factor.enrolled", f"user:{user_id}")
        tx.emit("second_factor.enrolled", f"user:{user_id}")
        return await self._new_codes(tx, user_id)

    async def verify(self, tx: Tx, user_id: str, code: str) -> None:
        """Use up a code of this person: one of the moment, or a recovery code.

        Wrong, used and out of date cost the same work and are told by the same error.

        Raises:
            CodeRefusedError: It does not hold.
        """
        if is_recovery_code(code):
            await self._use_recovery_code(tx, user_id, code)
            return
        sealed = await tx.scalar(
            sa.select(TotpSecret.sealed_secret).where(
                TotpSecret.user_id == user_id, TotpSecret.confirmed_at.is_not(None)
            )
        )
        if sealed is None:
            raise CodeRefusedError
        step = step_of(await self._open(tx, user_id, sealed), code, tx.now())
        taken = await tx.scalar(
            sa.update(TotpSecret)
            .where(
                TotpSecret.user_id == user_id,
                # Nothing is older than never: a wrong code moves nothing.
                TotpSecret.last_step < (_NEVER if step is None else step),
            )
            .values(last_step=step if step is not None else _NEVER)
            .returning(TotpSecret.user_id)
            .execution_options(synchronize_session=False)
        )
        if taken is None:
            raise CodeRefusedError

    async def _use_recovery_code(self, tx: Tx, user_id: str, code: str) -> None:
        used = await tx.scalar(
            sa.delete(RecoveryCode)
            .where(
                RecoveryCode.user_id == user_id,
                RecoveryCode.code_hash == _hash(user_id, code),
            )
            .returning(RecoveryCode.user_id)
            .execution_options(synchronize_session=False)
        )
        if used is None:
            raise CodeRefusedError
        left = (await self.find(tx, user_id)).recovery_codes_left
        tx.audit("recovery_code.used", f"user:{user_id}", left=left)
        tx.emit("recovery_code.used", f"user:{user_id}", left=left)

    async def renew_codes(self, tx: Tx, user_id: str) -> list[str]:
        """Give ten new recovery codes; the old ones are void.

        Raises:
            SecondFactorNotFoundError: There is no second factor to recover.
        """
        if not await self.is_enrolled(tx, user_id):
            raise SecondFactorNotFoundError
        tx.audit("recovery_codes.renewed", f"user:{user_id}")
        return await self._new_codes(tx, user_id)

    async def remove(self, tx: Tx, user_id: str) -> None:
        """Do without from now on.

        Raises:
            SecondFactorNotFoundError: There is none.
        """
        if not await self._forget(tx, user_id):
            raise SecondFactorNotFoundError
        tx.audit("second_factor.removed", f"user:{user_id}")
        tx.emit("second_factor.removed", f"user:{user_id}")

    async def reset(self, tx: Tx, user_id: str) -> bool:
        """Take it from somebody who lost device and codes, or perhaps to somebody else.

        Their log-ins end: whoever has one does not keep it. Returns whether there was one.
        """
        had = await self._forget(tx, user_id)
        await self._end_log_ins(tx, user_id)
        tx.audit("second_factor.cleared", f"user:{user_id}", had=had)
        if had:
            tx.emit("second_factor.cleared", f"user:{user_id}")
        return had

    async def _forget(self, tx: Tx, user_id: str) -> bool:
        await tx.execute(
            sa.delete(RecoveryCode)
            .where(RecoveryCode.user_id == user_id)
            .execution_options(synchronize_session=False)
        )
        gone = await tx.scalar(
            sa.delete(TotpSecret)
            .where(TotpSecret.user_id == user_id)
            .returning(TotpSecret.user_id)
            .execution_options(synchronize_session=False)
        )
        return gone is not None

    async def _end_log_ins(self, tx: Tx, user_id: str, *, but: str = "") -> None:
        condition = BrowserSession.user_id == user_id
        if but:
            condition &= BrowserSession.id != but
        ended = await tx.execute(
            sa.delete(BrowserSession)
            .where(condition)
            .returning(BrowserSession.id)
            .execution_options(synchronize_session=False)
        )
        for session_id in ended.scalars().all():
            tx.audit("session.ended", f"user:{user_id}", session=session_id)
        tx.signal(PRINCIPALS, f"user:{user_id}")

    async def _put(
        self, tx: Tx, user_id: str, secret: str, *, step: int, confirmed_at: datetime | None
    ) -> None:
        keyring = await self._security.keyring(tx)
        values = {
            "sealed_secret": keyring.seal(totp_place(user_id), secret.encode()),
            "last_step": step,
            "created_at": tx.now(),
            "confirmed_at": confirmed_at,
        }
        await tx.upsert(
            TotpSecret, {"user_id": user_id, **values}, conflict=["user_id"], update=values
        )

    async def _open(self, tx: Tx, user_id: str, sealed: bytes) -> str:
        keyring = await self._security.keyring(tx)
        return keyring.open(totp_place(user_id), sealed).decode()

    async def _new_codes(self, tx: Tx, user_id: str) -> list[str]:
        await tx.execute(
            sa.delete(RecoveryCode)
            .where(RecoveryCode.user_id == user_id)
            .execution_options(synchronize_session=False)
        )
        codes = [_recovery_code() for _ in range(_RECOVERY_CODES)]
        await tx.insert(
            RecoveryCode,
            [{"user_id": user_id, "code_hash": _hash(user_id, code)} for code in codes],
        )
        return codes


def enrolment_of(secret: str, email: str) -> Enrolment:
    """A secret as people take it into an authenticator: typed, by a link, by a picture."""
    uri = pyotp.TOTP(secret).provisioning_uri(name=email, issuer_name=ISSUER)
    picture = io.BytesIO()
    # White below black whatever the page's colours are: cameras do not read it the other way.
    segno.make(uri, error="m").save(
        picture, kind="svg", xmldecl=False, omitsize=True, light="#fff", nl=False
    )
    return Enrolment(secret, uri, picture.getvalue().decode())


def new_secret() -> str:
    """160 random bits in Base32."""
    return pyotp.random_base32()


def step_of(secret: str, code: str, now: datetime) -> int | None:
    """The time step whose code this is, one before and one after now included; None for none.

    All three are computed and compared in constant time, whatever the code is.
    """
    given = "".join(code.split()).encode()
    totp = pyotp.TOTP(secret)
    current = int(now.timestamp()) // _STEP_SECONDS
    found: int | None = None
    for step in _steps(current):
        if hmac.compare_digest(totp.generate_otp(step).encode(), given):
            found = step
    return found


def _steps(current: int) -> Iterable[int]:
    return range(max(0, current - _DRIFT_STEPS), current + _DRIFT_STEPS + 1)


def is_recovery_code(code: str) -> bool:
    """Whether it can only be one: longer than what an authenticator shows."""
    return len(_bare(code)) > _LONGEST_CODE


def _recovery_code() -> str:
    text = base64.b32encode(secrets.token_bytes(_RECOVERY_BYTES)).decode().lower()
    groups = range(0, len(text), _RECOVERY_GROUP)
    return "-".join(text[at : at + _RECOVERY_GROUP] for at in groups)


def _bare(code: str) -> str:
    return "".join(one for one in code.lower() if one.isalnum())


def _hash(user_id: str, code: str) -> bytes:
    """80 random bits need no slow hash; the person beside it leaves no table for all of them."""
    return hashlib.sha256(f"{user_id}:{_bare(code)}".encode()).digest()
