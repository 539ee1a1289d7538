"""The reference of ``otlp``: one Starlette route that parses an export and forgets it.

No credential, no limits, no check of a span, nothing decided on, counted or kept.
"""

import argparse

import uvicorn
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from backend.managers.tracing import OTLP_PATH


async def export(request: Request) -> Response:
    """Take an export of at least one span."""
    message = ExportTraceServiceRequest.FromString(await request.body())
    empty = not message.resource_spans[0].scope_spans[0].spans
    return Response(b"", 400 if empty else 200, media_type="application/x-protobuf")


def main() -> None:
    """Serve with the settings of ``email-sender serve``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    uvicorn.run(
        Starlette(routes=[Route(OTLP_PATH, export, methods=["POST"])]),
        host="127.0.0.1",
        port=parser.parse_args().port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
    )


if __name__ == "__main__":
    main()
