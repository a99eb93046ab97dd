"""Signatures: exactly botocore's, which signs what is not asked for thousands of times."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from hypothesis import given
from hypothesis import strategies as st

from central_server.signatures import Keys, place_of

NOW_S = 1_795_435_200.5
TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF), min_size=1, max_size=20)
URLS = ["http://127.0.0.1:9000", "https://s3.example:443/", "http://store/below/it", "https://[::1]:8443"]


@given(
    url=st.sampled_from(URLS),
    method=st.sampled_from(["GET", "HEAD", "PUT"]),
    key=st.text("abc/~-_. +%é", min_size=1).map(lambda text: f"k{text}"),
    query=st.dictionaries(st.sampled_from(["partNumber", "uploadId"]), TEXT),
    headers=st.dictionaries(st.sampled_from(["content-length", "x-amz-checksum-sha256"]), st.just("a+b/c=")),
    token=st.sampled_from(["", "lent/for+a=while"]),
)
def test_they_are_those_of_the_library(
    url: str, method: str, key: str, query: dict[str, str], headers: dict[str, str], token: str
) -> None:
    keys = Keys("ACCESS", "se/cret", token)
    place = place_of(url, "images", "eu-west-1")
    ours = place.url(place.target(method, key, query, headers, keys, NOW_S, 300))
    bare = ours.partition("?")[0] + (f"?{urlencode(query)}" if query else "")
    with pytest.MonkeyPatch.context() as patched:
        instant = datetime.fromtimestamp(NOW_S, UTC)
        patched.setattr("botocore.auth.get_current_datetime", lambda **_: instant)
        lent = SimpleNamespace(access_key=keys.access, secret_key=keys.secret, token=token or None)
        request = AWSRequest(method, bare, headers=dict(headers))
        S3SigV4QueryAuth(lent, "s3", "eu-west-1", 300).add_auth(request)
    theirs = str(request.url)
    assert urlsplit(ours)[:3] == urlsplit(theirs)[:3]
    assert dict(parse_qsl(urlsplit(ours).query)) == dict(parse_qsl(urlsplit(theirs).query))
