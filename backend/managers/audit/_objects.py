"""Putting an object into S3-compatible storage: the request, signed.

AWS Signature Version 4 (docs.aws.amazon.com, "Create a signed AWS API request"), as the library of
its makers computes it; no credential is looked for anywhere but where the operator gave it.
"""

import asyncio
import io
from datetime import datetime
from typing import Final
from urllib.parse import quote, urlsplit

from awscrt.auth import (
    AwsCredentialsProvider,
    AwsSignatureType,
    AwsSignedBodyHeaderType,
    AwsSigningAlgorithm,
    AwsSigningConfig,
    aws_sign_request,
)
from awscrt.http import HttpHeaders, HttpRequest

MEDIA_TYPE: Final = "text/plain; charset=utf-8"


def object_url(prefix: str, *parts: str) -> str:
    """Where an object of this name lies, below an address with the bucket in its path or host."""
    name = "/".join(quote(part, safe="") for part in parts)
    return f"{prefix.rstrip('/')}/{name}"


async def sign_put(
    url: str, content: bytes, *, region: str, access_key: str, secret_key: str, now: datetime
) -> dict[str, str]:
    """The headers of a PUT, ``Authorization`` among them.

    Args:
        url: Of the object, percent-encoded.
        content: What is put; its SHA-256 is signed as well.
        region: Of the bucket.
        access_key: Whose the request is.
        secret_key: What it is signed with.
        now: A signature holds for fifteen minutes.
    """
    parts = urlsplit(url)
    request = HttpRequest(
        "PUT",
        parts.path,
        HttpHeaders([("host", parts.netloc), ("content-type", MEDIA_TYPE)]),
        io.BytesIO(content),
    )
    config = AwsSigningConfig(
        algorithm=AwsSigningAlgorithm.V4,
        signature_type=AwsSignatureType.HTTP_REQUEST_HEADERS,
        credentials_provider=AwsCredentialsProvider.new_static(access_key, secret_key),
        region=region,
        service="s3",
        date=now,
        # As S3 alone wants it: names are encoded once, and mean what they say.
        use_double_uri_encode=False,
        should_normalize_uri_path=False,
        signed_body_header_type=AwsSignedBodyHeaderType.X_AMZ_CONTENT_SHA_256,
    )
    signed = await asyncio.wrap_future(aws_sign_request(request, config))
    return dict(signed.headers)
