"""Root keys of a process: the one that wraps, and those that still open.

While a root key is being rotated two are accepted: the new one, which wraps, and the old one. The
source names both, the new one first: a line each in the file and in what the command prints.
"""

import base64
import fcntl
import logging
import os
import select
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache, partial
from pathlib import Path
from typing import IO, Final, cast

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from backend.core.clock import monotonic
from backend.managers.security import _envelope
from backend.managers.security._format import derive
from backend.managers.security._gcm import Gcm
from backend.managers.security.errors import (
    KeyUnavailableError,
    RootKeysHeldError,
    SealBrokenError,
)
from backend.managers.security.settings import SecuritySettings

logger = logging.getLogger(__name__)

COMMAND_SECONDS: Final = 10.0
_KEY_BYTES: Final = 32
_MOST_KEYS: Final = 4
_MOST_PRINTED: Final = 4096
_REMEMBERED: Final = 4096
_DERIVATION: Final = b"email-sender derivation"
_DERIVES: Final = "derives:"
"""Begins the line of a source that says what keys are derived from."""


class RootKeyList(list[bytes]):
    """Root keys as their source names them, and what it says that keys are derived from."""

    derivation: bytes | None = None


class RootKeys:
    """What wraps and unwraps data keys.

    Args:
        keys: 32 bytes each; the first one wraps, all open.
        read_again: Gives the keys anew from their source; blocks for up to ten seconds.

    Raises:
        ValueError: One has another size, or there is none.
    """

    def __init__(
        self, keys: Sequence[bytes], read_again: Callable[[], Sequence[bytes]] | None = None
    ) -> None:
        self._read_again = read_again
        self.is_stale = False
        self._take(keys)

    def _take(self, keys: Sequence[bytes]) -> None:
        if not keys or any(len(key) != _KEY_BYTES for key in keys):
            raise ValueError("the root key must have 32 bytes")
        self._keys = [(root_id(key), Gcm(key)) for key in keys]
        # Ten microseconds otherwise, for every act that is recorded.
        self._derived = lru_cache(_REMEMBERED)(partial(_derived, derivation_of(keys)))

    @property
    def current_id(self) -> str:
        """Which key wraps; says nothing of the key."""
        return self._keys[0][0]

    @property
    def ids(self) -> frozenset[str]:
        """Which keys open."""
        return frozenset(name for name, _ in self._keys)

    def wrap(self, key_id: str, context: str, plain: bytes) -> bytes:
        """Seal a data key with the current root key."""
        return _envelope.seal(self._keys[0][1], key_id, context, plain)

    def unwrap(self, context: str, wrapped: bytes) -> bytes:
        """A data key, whichever of our root keys has wrapped it.

        Raises:
            KeyUnavailableError: None of them. The source is read again before long: another
                process may have been told of a new one.
        """
        for _, cipher in self._keys:
            with suppress(SealBrokenError):
                return _envelope.unseal(cipher, context, wrapped)
        self.is_stale = self._read_again is not None
        raise KeyUnavailableError

    def derive(self, label: bytes) -> bytes:
        """A key of 32 bytes for one use; the same after the root key was replaced."""
        return self._derived(label)

    def hear(self, _: str = "") -> None:
        """Take the signal that the source has changed."""
        self.is_stale = self._read_again is not None

    def refresh(self) -> bool:
        """Read the source again if something said that it has changed; blocks, so in a thread.

        What is there stays when the source cannot be read, and it is to be read again: a process
        that was told once and failed once would go on wrapping with a key that is about to go.

        Returns:
            Whether what is known is what the source says, as far as anybody has told.
        """
        if not self.is_stale or self._read_again is None:
            return True
        # Before reading: what changes while it is read makes it stale again.
        self.is_stale = False
        try:
            self._take(self._read_again())
        except (ValueError, OSError) as exc:
            self.is_stale = True
            logger.error("root_key_not_read", extra={"cause": type(exc).__name__})  # noqa: TRY400
            return False
        return True


def derivation_of(keys: Sequence[bytes]) -> bytes:
    """What keys of one use are derived from, 32 bytes: as the source says, or of the oldest key.

    It outlives the root key that it came from, so that what was sealed under such a key, or signed
    with it, holds when the root key is another. It opens nothing that a root key has wrapped.
    """
    kept = keys.derivation if isinstance(keys, RootKeyList) else None
    return _derived(keys[-1], _DERIVATION) if kept is None else kept


def derived(keys: Sequence[bytes], label: bytes) -> bytes:
    """32 bytes for one use, which tell nothing of the root key or of another label's.

    HKDF-SHA256 (RFC 5869). What it starts from is 32 random bytes, so there is no salt
    (section 3.1).
    """
    return _derived(derivation_of(keys), label)


def _derived(secret: bytes, label: bytes) -> bytes:
    return HKDF(SHA256(), length=_KEY_BYTES, salt=None, info=label).derive(secret)


@lru_cache(_REMEMBERED)
def label(purpose: str, tenant_id: str) -> bytes:
    """Of what is derived for a purpose and a tenant: each after its length, so no two are alike."""
    parts = (b"email-sender", purpose.encode(), tenant_id.encode())
    return b"".join(len(part).to_bytes(2, "big") + part for part in parts)


def root_id(key: bytes) -> str:
    """A name for a root key that says nothing of it: 16 hexadecimal digits."""
    return derive(key, b"root id", b"").hex()[:16]


def load_root_key(settings: SecuritySettings, default_file: Path) -> bytes:
    """The root key that wraps: the first of :func:`load_root_keys`."""
    return load_root_keys(settings, default_file)[0]


def load_root_keys(
    settings: SecuritySettings, default_file: Path, *, make: bool = True
) -> RootKeyList:
    """The root keys from the environment, a command or a file; the first one wraps.

    A missing file is made once, mode 0600, unless told otherwise: who had a key and finds none has
    lost it for the moment, and another one would open nothing.

    Raises:
        ValueError: What is configured is not 32 bytes of base64, the command fails or takes more
            than ten seconds, or the file is open to others. Never quotes what was read.
        OSError: The file cannot be read or made.
    """
    if settings.root_key is not None:
        source = "EMAIL_SENDER__SECURITY__ROOT_KEY"
        given = [settings.root_key, settings.root_key_previous]
        found = RootKeyList(
            _decoded(one.get_secret_value(), source) for one in given if one is not None
        )
        if settings.root_key_derivation is not None:
            name = f"{source}_DERIVATION"
            found.derivation = _decoded(settings.root_key_derivation.get_secret_value(), name)
        return found
    if settings.root_key_command:
        return _lines(_printed(settings.root_key_command), "the root key command")
    path = root_key_file(settings, default_file)
    if make and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        # Whole or not at all: whoever starts at the same time reads a key, and who dies in the
        # middle leaves no empty file that nobody could start with any more.
        with changing_root_keys(path, wait=True):
            if not path.exists():
                write_root_keys(path, [os.urandom(_KEY_BYTES)])
    if path.stat().st_mode & 0o077:
        msg = f"{path} is readable by others: chmod 600"
        raise ValueError(msg)
    return _lines(path.read_bytes(), str(path))


def root_key_file(settings: SecuritySettings, default_file: Path) -> Path:
    """The file that holds the root key."""
    return settings.root_key_file or default_file


def write_root_keys(path: Path, keys: Sequence[bytes], derivation: bytes | None = None) -> None:
    """Replace the file's keys at once: a crash leaves the old ones or the new ones."""
    lines = [base64.b64encode(key) for key in keys]
    if derivation is not None:
        lines.append(_DERIVES.encode() + base64.b64encode(derivation))
    beside = path.with_name(f"{path.name}.new")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        file.write(b"".join(line + b"\n" for line in lines))
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def changing_root_keys(path: Path, *, wait: bool = False) -> Iterator[None]:
    """Be the only one who changes the file: two at once would each throw the other's key away.

    Args:
        path: The file.
        wait: For whoever else does, rather than leave it to them.

    Raises:
        RootKeysHeldError: Somebody else does.
    """
    # Beside it, since the file itself is replaced: a lock on what was replaced holds nobody.
    handle = os.open(path.with_name(f"{path.name}.lock"), os.O_CREAT | os.O_RDWR, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RootKeysHeldError from None
        yield
    finally:
        os.close(handle)


def _printed(command: Sequence[str]) -> bytes:
    """What the command prints, as far as it can be a key. No shell: its arguments go one by one.

    Read with a deadline and a bound of our own: what the command has started may hold its output
    open for as long as it likes, and what prints without end would fill the memory.
    """
    try:
        running = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as exc:
        raise ValueError(f"the root key command does not run: {type(exc).__name__}") from None
    with cast("IO[bytes]", running.stdout) as output:
        try:
            ends = monotonic() + COMMAND_SECONDS
            printed = _read_until(output, ends)
            code = running.wait(max(0.0, ends - monotonic()))
        except subprocess.TimeoutExpired:
            raise ValueError(
                f"the root key command took more than {COMMAND_SECONDS:.0f} s"
            ) from None
        finally:
            if running.returncode is None:
                # With all that it has started. It is not reaped yet, so the number is its own.
                os.killpg(running.pid, signal.SIGKILL)
                running.wait()
    if code != 0:
        # What it printed may hold the key, or a part of it.
        raise ValueError(f"the root key command ended with {code}")
    return printed


def _read_until(output: IO[bytes], ends: float) -> bytes:
    """All that is written there, if it comes to an end in time and is no more than keys are."""
    ready = select.poll()
    ready.register(output, select.POLLIN)
    printed = b""
    while len(printed) <= _MOST_PRINTED:
        if not ready.poll(max(0.0, ends - monotonic()) * 1000):
            raise subprocess.TimeoutExpired((), COMMAND_SECONDS)
        part = os.read(output.fileno(), _MOST_PRINTED)
        if not part:
            return printed
        printed += part
    raise ValueError("what the root key command prints does not hold 32 bytes in base64")


def _lines(data: bytes, source: str) -> RootKeyList:
    # Not decoded strictly: the error would quote a byte of what may be a key in another form.
    lines = data.decode("ascii", "replace").split()
    derives = [line for line in lines if line.startswith(_DERIVES)]
    keys = [line for line in lines if line not in derives]
    if not 1 <= len(keys) <= _MOST_KEYS or len(derives) > 1:
        raise ValueError(f"{source} does not hold 32 bytes in base64")
    found = RootKeyList(_decoded(line, source) for line in keys)
    if derives:
        found.derivation = _decoded(derives[0].removeprefix(_DERIVES), source)
    return found


def _decoded(text: str, source: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        msg = f"{source} does not hold 32 bytes in base64"
        raise ValueError(msg)
    return key
