"""An API process for tests: ``api_process.py <port> [deaf]``, settings from the environment.

Deaf, it is cut off from the signals of other processes; its way to the database is whole.
"""

import sys

import uvicorn

from backend.api import create_app
from backend.app import compose
from backend.http.server import OPTIONS
from backend.settings import Settings


def main(port: int, *, deaf: bool) -> None:
    """Serve until SIGTERM."""
    platform = compose(Settings())
    if deaf:
        platform.database.signals._carrier = None
    uvicorn.run(create_app(platform), host="127.0.0.1", port=port, **OPTIONS)


if __name__ == "__main__":
    main(int(sys.argv[1]), deaf="deaf" in sys.argv[2:])
