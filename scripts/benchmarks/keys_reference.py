"""The reference of ``audit``: the platform's own API, whose data plane keeps no record of a use.

Everything else is as it is: the pipeline, the key in memory, its budget, the cipher, the answer.
What is left out is the transaction that would have been durable before the answer.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from backend.cli import main
from backend.core.context import Scope
from backend.core.database import Database, Tx


async def _unrecorded(
    _: Database, __: Scope, ___: Callable[[Tx], Awaitable[Any]], **____: Any
) -> bool:
    return True


if __name__ == "__main__":
    Database.together = _unrecorded  # type: ignore[method-assign,assignment]
    main()
