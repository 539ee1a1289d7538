"""The price of a ciphertext that says whose it is: one process, one thread, no database.

Ours is what a named key does with a value: the header with tenant, key, version and commitment, all
of it associated data. The reference is bare ``AESGCM`` with a fresh random nonce for each message
and the same context, as somebody would write it who remembers the key and its version elsewhere.
"""

import os
from collections.abc import Callable
from time import perf_counter
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from backend.core.ids import uuid7
from backend.managers.security import new_cipher
from scripts.benchmarks.measure import BenchmarkError, Result, alternate

SIZES: Final = {"64B": 64, "1KiB": 1024, "64KiB": 64 * 1024, "1MiB": 1024 * 1024}
_FLOORS: Final = {"64B": 0.3, "1KiB": 0.4, "64KiB": 0.85, "1MiB": 0.9}
_BYTES_A_RUN: Final = 400 * 1024 * 1024
_MOST_A_RUN: Final = 300_000
_CONTEXT: Final = b"orders/4711"


def run_encrypt(case: str, rounds: int) -> Result:
    """Messages of one size a second.

    Args:
        case: ``64B``, ``1KiB``, ``64KiB`` or ``1MiB``.
        rounds: As for all benchmarks.
    """
    plaintext = os.urandom(SIZES[case])
    cipher, material = new_cipher(uuid7(), uuid7()), AESGCM(AESGCM.generate_key(256))
    if cipher.decrypt(bytes(cipher.encrypt(plaintext, _CONTEXT)), _CONTEXT) != plaintext:
        raise BenchmarkError("what was encrypted does not open")

    def bare() -> object:
        nonce = os.urandom(12)
        return nonce, material.encrypt(nonce, plaintext, _CONTEXT)

    times = min(_MOST_A_RUN, _BYTES_A_RUN // len(plaintext))
    ours, reference = alternate(
        rounds,
        lambda: _rate(lambda: cipher.encrypt(plaintext, _CONTEXT), times),
        lambda: _rate(bare, times),
    )
    named = "bare AESGCM"
    return Result("crypto", f"encrypt-{case}", ours, reference, named, "messages/s", _FLOORS[case])


def _rate(work: Callable[[], object], times: int) -> float:
    work()
    began = perf_counter()
    for _ in range(times):
        work()
    return times / (perf_counter() - began)
