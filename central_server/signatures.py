"""Signed requests to an S3 store: AWS Signature Version 4 in the query.

Rules of this file:
- Pure: keys and the instant are arguments.
- Every header that is given is signed, so the request must be sent with exactly these; the body is not.
- Not botocore's own signer, by which the tests measure this one: two signatures are needed for every image, and that
  one takes a fifth of all processor time the server spends on it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import reduce
from urllib.parse import quote, urlsplit

ALGORITHM = "AWS4-HMAC-SHA256"
DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Keys:
    """`token`: of keys that are lent for a while, else ""."""

    access: str
    secret: str = field(repr=False)
    token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a bucket is reached: `path` is the bucket's, without a slash at its end."""

    scheme: str
    host: str
    path: str
    region: str

    def target(
        self,
        method: str,
        key: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        keys: Keys,
        now_s: float,
        expires_s: int,
    ) -> str:
        """Path and query of a request for the object `key` that may be made until `expires_s` after `now_s`."""
        instant = datetime.fromtimestamp(now_s, UTC).strftime("%Y%m%dT%H%M%SZ")
        scope = f"{instant[:8]}/{self.region}/s3/aws4_request"
        signed = {"host": self.host} | {name.lower(): value for name, value in headers.items()}
        names = ";".join(sorted(signed))
        asked = {
            **query,
            "X-Amz-Algorithm": ALGORITHM,
            "X-Amz-Credential": f"{keys.access}/{scope}",
            "X-Amz-Date": instant,
            "X-Amz-Expires": str(expires_s),
            "X-Amz-SignedHeaders": names,
        } | ({"X-Amz-Security-Token": keys.token} if keys.token else {})
        path = f"{self.path}/{quote(key, safe='/~')}"
        said = "&".join(f"{quote(name, safe='')}={quote(asked[name], safe='')}" for name in sorted(asked))
        lines = [method, path, said, *(f"{name}:{signed[name]}" for name in sorted(signed)), "", names]
        canonical = "\n".join([*lines, "UNSIGNED-PAYLOAD"]).encode()
        text = "\n".join([ALGORITHM, instant, scope, hashlib.sha256(canonical).hexdigest()])
        key_of_scope = reduce(_hmac, scope.split("/"), f"AWS4{keys.secret}".encode())
        return f"{path}?{said}&X-Amz-Signature={_hmac(key_of_scope, text).hex()}"

    def url(self, target: str) -> str:
        return f"{self.scheme}://{self.host}{target}"


def place_of(url: str, bucket: str, region: str) -> Place:
    """The bucket of the store at `url`."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    if parts.port is not None and parts.port != DEFAULT_PORTS.get(parts.scheme):
        host = f"{host}:{parts.port}"
    return Place(parts.scheme, host, f"{parts.path.rstrip('/')}/{quote(bucket)}", region)


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")
