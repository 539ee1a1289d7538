"""What keys do, on the data plane: encrypt, open, rewrap, sign and verify, one value or a thousand.

A request is answered once its record is durable: what was computed is in memory until then, and is
thrown away when there is no record. Requests of a tenant that come together share a commit. A batch
is one record, with how many of its items failed; one that fails does not stop the others.
"""

from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Final, NamedTuple

import msgspec

from backend.core.database import Tx
from backend.core.errors import AppError, InvalidInputError
from backend.http.data_route import Call, DataRoute
from backend.managers.security._keys import KEY_NAME
from backend.managers.security._operations import (
    DATA_KEY,
    DECRYPT,
    ENCRYPT,
    EXAMPLE,
    HMAC,
    MAX_BATCH,
    REWRAP,
    SIGN,
    VERIFY,
    DataKeyBody,
    DataKeyOut,
    DecryptBody,
    DecryptOut,
    EncryptBody,
    EncryptOut,
    HmacOut,
    ItemError,
    MessageBody,
    Operation,
    RandomBody,
    RandomOut,
    RewrapBody,
    RewrapOut,
    SignOut,
    VerifyBody,
    VerifyOut,
    draw_bytes,
    opened_versions,
    run_all,
)
from backend.managers.security._use import HeldKey
from backend.managers.security.errors import (
    KeyBusyError,
    KeyDisabledError,
    KeyExhaustedError,
    KeyNotFoundError,
    KeyTypeError,
    SealBrokenError,
    SealedError,
)
from backend.managers.security.manager import SecurityManager

_TRIES: Final = 16
_SLOW_ITEMS: Final = 16
_SLOW_BYTES: Final = 256 * 1024
_NO_STORE: Final = {"cache-control": "no-store"}
_BATCH_COST: Final = 10
_REFUSALS: Final = (KeyNotFoundError, KeyDisabledError, KeyTypeError, SealedError, KeyBusyError)


class KeyPath(msgspec.Struct):
    """The key that a path names."""

    name: Annotated[
        str,
        msgspec.Meta(pattern=KEY_NAME, max_length=64, extra_json_schema={"examples": ["orders"]}),
    ]


def _batch_of(
    name: str, item: type[msgspec.Struct], example: Mapping[str, Any]
) -> type[msgspec.Struct]:
    """A body of up to a thousand items."""
    meta = msgspec.Meta(
        min_length=1, max_length=MAX_BATCH, extra_json_schema={"examples": [[example]]}
    )
    items = Annotated[list[item], meta]  # type: ignore[valid-type]
    made = msgspec.defstruct(name, [("items", items)], forbid_unknown_fields=True)
    made.__doc__ = "Up to a thousand at once."
    return made


def _results_of(name: str, answer: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """What became of each item, in their order."""
    item = msgspec.defstruct(
        f"{name}Item",
        [("result", answer | None, None), ("error", ItemError | None, None)],
        omit_defaults=True,
    )
    item.__doc__ = "A result, or why there is none."
    made = msgspec.defstruct(name, [("items", list[item]), ("failed", int)])  # type: ignore[valid-type]
    made.__doc__ = "What became of each item, in the order of the request."
    return made


EncryptBatchIn: Final = _batch_of("EncryptBatchIn", EncryptBody, {"plaintext": EXAMPLE})
EncryptBatchOut: Final = _results_of("EncryptBatchOut", EncryptOut)
DecryptBatchIn: Final = _batch_of("DecryptBatchIn", DecryptBody, {"ciphertext": "es1:ZXMx"})
DecryptBatchOut: Final = _results_of("DecryptBatchOut", DecryptOut)
RewrapBatchIn: Final = _batch_of("RewrapBatchIn", RewrapBody, {"ciphertext": "es1:ZXMx"})
RewrapBatchOut: Final = _results_of("RewrapBatchOut", RewrapOut)
DataKeyBatchIn: Final = _batch_of("DataKeyBatchIn", DataKeyBody, {})
DataKeyBatchOut: Final = _results_of("DataKeyBatchOut", DataKeyOut)
HmacBatchIn: Final = _batch_of("HmacBatchIn", MessageBody, {"message": EXAMPLE})
HmacBatchOut: Final = _results_of("HmacBatchOut", HmacOut)
SignBatchIn: Final = _batch_of("SignBatchIn", MessageBody, {"message": EXAMPLE})
SignBatchOut: Final = _results_of("SignBatchOut", SignOut)
VerifyBatchIn: Final = _batch_of(
    "VerifyBatchIn", VerifyBody, {"message": EXAMPLE, "signature": "v1.AAAA"}
)
VerifyBatchOut: Final = _results_of("VerifyBatchOut", VerifyOut)


async def draw_random(_: SecurityManager, call: Call[RandomBody]) -> RandomOut:
    """Draw random bytes."""
    size = int(call.body.size_bytes)

    async def record(tx: Tx) -> None:
        tx.audit("random.generated", f"tenant:{tx.tenant_id}", size_bytes=size)

    await call.database.together(call.scope, record)
    return RandomOut(draw_bytes(size))


async def _one(security: SecurityManager, call: Call[Any], operation: Operation) -> Any:
    """Do it with the body; what fails is recorded as well, and then raised."""
    (made,) = await _perform(security, call, operation, [call.body])
    if isinstance(made, AppError):
        raise made
    return made


async def _many(
    security: SecurityManager,
    call: Call[Any],
    operation: Operation,
    answer: Callable[..., msgspec.Struct],
) -> msgspec.Struct:
    made = await _perform(security, call, operation, call.body.items)
    items: list[Mapping[str, Any]] = [
        {"error": ItemError(one.code, one.title, one.detail)}
        if isinstance(one, AppError)
        else {"result": one}
        for one in made
    ]
    failed = sum("error" in one for one in items)
    return answer(items=items, failed=failed)


async def _perform(
    security: SecurityManager, call: Call[Any], operation: Operation, items: Sequence[Any]
) -> list[Any]:
    """What became of each item, recorded; and so is that the key was not to be used.

    Raises:
        KeyDisabledError, KeyExhaustedError, SealedError: It is not.
        KeyBusyError: The key was changed each time before its use could be recorded.
    """
    try:
        return await _perform_unless_refused(security, call, operation, items)
    except (KeyDisabledError, KeyExhaustedError, SealedError) as exc:
        name = call.parameters.name
        async with call.database.transaction(call.scope) as tx:
            await security.keys.record_refusal(tx, name, operation.name, exc)
        raise


async def _perform_unless_refused(
    security: SecurityManager, call: Call[Any], operation: Operation, items: Sequence[Any]
) -> list[Any]:
    use, name = security.use, call.parameters.name
    looked: HeldKey | None = None
    for _ in range(_TRIES):
        held = use.find(call.scope.tenant_id, name)
        named = set() if held is None else {operation.names_version(held, one) for one in items}
        wanted = {one for one in named if one is not None}
        # What is lacking after a look is not there, and the items that name it fail as all do.
        if held is None or (held is not looked and held.lacking(wanted)):
            async with call.database.read(call.scope) as view:
                loaded = await use.load(view, name, wanted)
            # A key that was not at hand says only then which of its versions the items name.
            looked = None if held is None else loaded
            continue
        if operation.counts and not use.take(held, len(items)):
            await use.refill(call.database, call.scope, held, len(items))
            continue
        made = await _run(security, call, operation, held, items)
        failed = sum(isinstance(one, AppError) for one in made)
        said: dict[str, Any] = {"count": len(items), "failed": failed}
        if operation.counts:
            said["version"] = held.latest_version
        opened = opened_versions(operation, items, made)
        if wanted:
            # What opened or was verified is of its own version.
            said["versions"] = sorted(opened)
        record = partial(_record, security, held, operation, said, opened=opened)
        if await call.database.together(call.scope, record):
            return made
        use.forget(held.tenant_id, name)
    raise KeyBusyError(headers={"Retry-After": "1"})


async def _run(
    security: SecurityManager,
    call: Call[Any],
    operation: Operation,
    held: HeldKey,
    items: Sequence[Any],
) -> list[Any]:
    work = partial(run_all, operation, held, items)
    if security.turns is None or not _is_slow(operation, items):
        return work()
    return await security.turns.run(call.scope.tenant_id, work)


def _is_slow(operation: Operation, items: Sequence[Any]) -> bool:
    """Whether it would hold up everybody else for more than a millisecond or two."""
    if operation.slow and len(items) > _SLOW_ITEMS:
        return True
    size = 0
    for item in items:
        for name in ("plaintext", "ciphertext", "message"):
            size += len(getattr(item, name, ""))
    return size > _SLOW_BYTES


async def _record(
    security: SecurityManager,
    held: HeldKey,
    operation: Operation,
    said: Mapping[str, Any],
    tx: Tx,
    *,
    opened: Collection[int],
) -> bool:
    if not await security.use.record(tx, held, operation.name, **said):
        return False
    if opened:
        note = partial(security.openings.note, held.tenant_id, held.id, opened)
        tx.after_commit(partial(note, tx.scope.actor, tx.now()))
    return True


Handler = Callable[[SecurityManager, Call[Any]], Awaitable[Any]]


class _Told(NamedTuple):
    """What there is to say of an operation's two routes: of one item, and of up to a thousand."""

    path: str
    operation: Operation
    names: tuple[str, str]
    summaries: tuple[str, str]
    bodies: tuple[Any, Any]
    answers: tuple[Any, Any]
    errors: tuple[type[AppError], ...] = ()


_TOLD: Final = (
    _Told(
        "encrypt",
        ENCRYPT,
        ("encrypt", "encrypt_batch"),
        ("Encrypt a value.", "Encrypt up to a thousand values."),
        (EncryptBody, EncryptBatchIn),
        (EncryptOut, EncryptBatchOut),
        (KeyExhaustedError,),
    ),
    _Told(
        "decrypt",
        DECRYPT,
        ("decrypt", "decrypt_batch"),
        ("Open a ciphertext.", "Open up to a thousand ciphertexts."),
        (DecryptBody, DecryptBatchIn),
        (DecryptOut, DecryptBatchOut),
        (SealBrokenError,),
    ),
    _Told(
        "rewrap",
        REWRAP,
        ("rewrap", "rewrap_batch"),
        ("Encrypt anew with the newest version.", "Rewrap up to a thousand ciphertexts."),
        (RewrapBody, RewrapBatchIn),
        (RewrapOut, RewrapBatchOut),
        (SealBrokenError, KeyExhaustedError),
    ),
    _Told(
        "data-key",
        DATA_KEY,
        ("make_data_key", "make_data_keys"),
        ("Make a data key.", "Make up to a thousand data keys."),
        (DataKeyBody, DataKeyBatchIn),
        (DataKeyOut, DataKeyBatchOut),
        (KeyExhaustedError,),
    ),
    _Told(
        "hmac",
        HMAC,
        ("compute_hmac", "compute_hmac_batch"),
        ("Compute a MAC.", "Compute up to a thousand MACs."),
        (MessageBody, HmacBatchIn),
        (HmacOut, HmacBatchOut),
    ),
    _Told(
        "sign",
        SIGN,
        ("sign", "sign_batch"),
        ("Sign a message.", "Sign up to a thousand messages."),
        (MessageBody, SignBatchIn),
        (SignOut, SignBatchOut),
    ),
    _Told(
        "verify",
        VERIFY,
        ("verify", "verify_batch"),
        ("Check a signature or a MAC.", "Check up to a thousand signatures or MACs."),
        (VerifyBody, VerifyBatchIn),
        (VerifyOut, VerifyBatchOut),
    ),
)


def _handler(told: _Told, *, many: bool) -> Handler:
    """What a route does; it is called as the operation is in the API's document."""

    async def handle(security: SecurityManager, call: Call[Any]) -> Any:
        if many:
            return await _many(security, call, told.operation, told.answers[1])
        return await _one(security, call, told.operation)

    handle.__name__ = told.names[many]
    return handle


def _routes(told: _Told) -> Iterator[DataRoute[SecurityManager]]:
    for many, suffix, cost in ((False, "", 1), (True, "/batch", _BATCH_COST)):
        yield DataRoute(
            method="POST",
            path=f"/api/v1/keys/{{name}}/{told.path}{suffix}",
            permission="key:use",
            handler=_handler(told, many=many),
            summary=told.summaries[many],
            tags=("key",),
            body=told.bodies[many],
            parameters=KeyPath,
            answer=told.answers[many],
            headers=_NO_STORE,
            reads=True,
            cost=cost,
            errors=(InvalidInputError, *_REFUSALS, *told.errors),
        )


DATA_ROUTES: Final = (
    *(route for told in _TOLD for route in _routes(told)),
    DataRoute(
        method="POST",
        path="/api/v1/random",
        permission="key:use",
        handler=draw_random,
        summary="Draw random bytes.",
        tags=("key",),
        body=RandomBody,
        answer=RandomOut,
        headers=_NO_STORE,
        reads=True,
        errors=(InvalidInputError,),
    ),
)
"""What this manager serves on the data plane."""
