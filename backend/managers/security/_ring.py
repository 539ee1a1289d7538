"""A tenant's data keys, unwrapped."""

from collections.abc import Sequence

from backend.managers.security import _envelope
from backend.managers.security._gcm import Gcm
from backend.managers.security.errors import SealBrokenError


class Keyring:
    """One tenant's unwrapped data keys: seals with one of them, opens with any."""

    __slots__ = ("_ciphers", "_newest")

    def __init__(self, keys: Sequence[tuple[str, bytes]], *, seals_with: str | None = None) -> None:
        """Of ``keys``, by id, the last one seals unless another is named."""
        self._ciphers = {key_id: Gcm(key) for key_id, key in keys}
        self._newest = seals_with or keys[-1][0]

    @property
    def seals_with(self) -> str:
        """The id of the key that seals."""
        return self._newest

    def seal(self, context: str, plaintext: bytes) -> bytes:
        """Encrypt for the place ``context``, for example ``email.content:<id>``."""
        return _envelope.seal(self._ciphers[self._newest], self._newest, context, plaintext)

    def is_by_newest(self, sealed: bytes) -> bool:
        """Whether it was sealed with the key that seals now.

        What was sealed before the transaction that writes it is asked for this there: the walk
        that sets out to destroy an older key waits for writes, and not for what waits before one.
        """
        return _envelope.key_id_of(sealed) == self._newest

    def open(self, context: str, sealed: bytes) -> bytes:
        """Decrypt what was sealed for this tenant and this place.

        Raises:
            SealBrokenError: Another tenant's, another place's, or altered.
        """
        cipher = self._ciphers.get(_envelope.key_id_of(sealed))
        if cipher is None:
            raise SealBrokenError
        return _envelope.unseal(cipher, context, sealed)
