"""HTTP face of answers from elsewhere: the address is the credential, and nobody is asked for more.

Below the API's own root every route asks who calls, so these are not there.
"""

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from backend.core.errors import InvalidInputError, MalformedError
from backend.core.sound_json import UnsoundError, read_json
from backend.http.body import BodyTooLargeError, read_body
from backend.http.reply import problems
from backend.managers.orchestrator._answers import PATH
from backend.managers.orchestrator.errors import CallbackNotFoundError
from backend.managers.orchestrator.manager import OrchestratorManager

_MAX_BYTES: Final = 65_536

DOCUMENT: Final[dict[str, Any]] = {
    "paths": {
        f"{PATH}{{token}}": {
            "post": {
                "tags": ["job"],
                "summary": "Answer a job that waits",
                "description": (
                    "The address is what a workflow was told as `X-Callback-Url`; nothing else is "
                    "asked for. The body, any JSON of up to 64 KiB, is the job's result; an object "
                    "whose only member is `error` is a failure of the attempt. Whoever answers "
                    "again is told the same, and what was said first counts."
                ),
                "operationId": "answer_job",
                "security": [],
                "parameters": [
                    {
                        "name": "token",
                        "in": "path",
                        "required": True,
                        "schema": {"type": "string", "examples": ["AZrA3gAAcABAAAAAAAAAAQ"]},
                    }
                ],
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": {}, "example": {"sent": 12}}},
                },
                "responses": {
                    "204": {"description": "It is the job's answer"},
                    **{
                        str(status): answer
                        for status, answer in problems(
                            CallbackNotFoundError,
                            MalformedError,
                            BodyTooLargeError,
                            InvalidInputError,
                            of_all=True,
                        ).items()
                    },
                },
            }
        }
    }
}


def callback_routes(jobs: OrchestratorManager) -> list[Route]:
    """The plain routes at which attempts are answered."""

    async def answer(request: Request) -> Response:
        said = _read(await read_body(request.receive, _MAX_BYTES))
        database = request.app.state.database
        await jobs.answers.take(database, request.path_params["token"], said)
        return Response(status_code=204)

    return [Route(f"{PATH}{{token}}", answer, methods=["POST"])]


def _read(body: bytes | bytearray) -> Any:
    try:
        return read_json(body)
    except UnsoundError as exc:
        raise InvalidInputError(str(exc)) from None
    except ValueError:
        raise MalformedError("The body is not JSON") from None
