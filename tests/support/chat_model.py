"""A chat model that says what a test wants to hear, behind the API that n8n's model node speaks."""

import contextlib
import json
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class ChatModel:
    """Answers each request with the next of its turns: arguments for the only tool, or words."""

    def __init__(self, turns: Sequence[dict[str, Any] | str]) -> None:
        self.requests: list[dict[str, Any]] = []
        self._turns = list(turns)
        self.url = ""

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """The completion for a request, which is kept in ``requests``."""
        self.requests.append(request)
        turn = self._turns.pop(0) if self._turns else "Done."
        message: dict[str, Any] = {"role": "assistant", "content": turn}
        if isinstance(turn, dict):
            call = {
                "id": f"call_{len(self.requests)}",
                "type": "function",
                "function": {
                    "name": request["tools"][0]["function"]["name"],
                    "arguments": json.dumps(turn),
                },
            }
            message = {"role": "assistant", "content": None, "tool_calls": [call]}
        return {
            "id": "completion",
            "object": "chat.completion",
            "created": 0,
            "model": request["model"],
            "choices": [
                {
                    "index": 0,
                    "message": message,
                    "finish_reason": "tool_calls" if isinstance(turn, dict) else "stop",
                }
            ],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        }

    def heard(self) -> str:
        """All that tools have told the model, as text."""
        last = self.requests[-1]["messages"] if self.requests else []
        return "\n".join(str(one["content"]) for one in last if one["role"] == "tool")


@contextlib.contextmanager
def chat_model(*turns: dict[str, Any] | str) -> Iterator[ChatModel]:
    """Serve a model on 127.0.0.1 while the block lasts."""
    model = ChatModel(turns)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            answer = json.dumps(model.answer(json.loads(self.rfile.read(length)))).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args: object) -> None:
            """Nothing: a test says itself what went wrong."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    model.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield model
    finally:
        server.shutdown()
        server.server_close()
