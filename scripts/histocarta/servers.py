"""What a file server's answers mean: which faults pass, which do not, where it points to, and who may see the token."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import httpx

from histocarta.errors import InputError

MAX_REDIRECTS = 5
LOOPBACK = ("localhost", "127.0.0.1", "::1")
OF_TEXT = ("text/", "application/json", "application/xml")  # pages that say something, and are no slide
MAY_PASS = {
    HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT,
}  # fmt: skip


class Passing(Exception):
    """A fault that may be gone at the next try; ``after``: the seconds that the server asks to wait."""

    def __init__(self, what: str, *, after: float = 0.0) -> None:
        super().__init__(what)
        self.after = after


@dataclass(frozen=True)
class Reply:
    """A server's answer with a file, or a part of it, in its ``chunks``.

    begin : the byte at which it begins (-1: a part of which the server does not say). total : bytes of the whole file;
    None where the server does not say. at_end : nothing follows the byte from which on was asked. kind : the content
    type.
    """

    begin: int
    total: int | None
    at_end: bool
    kind: str
    chunks: Iterator[bytes]

    @property
    def is_text(self) -> bool:
        return self.kind.startswith(OF_TEXT)


@contextmanager
def opened(client: httpx.Client, url: str, *, begin: int, token: str | None) -> Iterator[Reply]:
    """The answer to a request for ``url`` from byte ``begin`` on; the server may begin at 0 all the same.

    ``token`` goes to the server of ``url`` and to no other. Raises Passing for what may pass, InputError with D-GONE,
    D-AUTH, D-REDIRECT or D-REFUSED for what does not, and httpx's TransportError.
    """
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={begin}-"} if begin else {})
    reply = _follow(client, httpx.URL(url), headers, token)
    try:
        if reply.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and begin:
            yield Reply(begin, None, True, "", iter(()))
            return
        _check_status(client, reply, url=url)
        yield _described(reply, begin=begin)
    finally:
        reply.close()


def _follow(client: httpx.Client, home: httpx.URL, headers: dict[str, str], token: str | None) -> httpx.Response:
    """The answer behind at most five redirects, all of them by https, or within this machine."""
    url = home
    for _ in range(MAX_REDIRECTS + 1):
        at_home = (url.scheme, url.host, url.port) == (home.scheme, home.host, home.port)
        secret = {"X-Auth-Token": token} if token and at_home else {}
        reply = client.send(client.build_request("GET", url, headers=headers | secret), stream=True)
        if not reply.has_redirect_location:
            return reply
        reply.close()
        url = url.join(reply.headers["Location"])
        if url.scheme != "https" and not (home.host in LOOPBACK and url.host in LOOPBACK and url.scheme == "http"):
            raise InputError(
                f"D-REDIRECT Expected {home.host} to point to an https address, found {url.scheme}://{url.host}; "
                "nothing was fetched from there. Ask the server's owner, or set another downloads.url"
            )
    raise InputError(f"D-REDIRECT Expected {home} to lead to a file, found more than {MAX_REDIRECTS} redirects")


def _check_status(client: httpx.Client, reply: httpx.Response, *, url: str) -> None:
    status, host = reply.status_code, httpx.URL(url).host
    if reply.is_success:
        return
    said = f"{status} {reply.reason_phrase}".strip()
    if status in MAY_PASS:
        raise Passing(f"{host} says {said}", after=_retry_after(reply.headers.get("Retry-After", "")))
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        raise InputError(
            f"D-AUTH Expected {url} to be open to you, found {said}: controlled data, or a token that has expired; "
            "name the file with a new GDC token as downloads.token_file"
        )
    if status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
        raise InputError(
            f"D-GONE Expected a file at {url}, found {said}; {_successor(client, url)}; refresh the manifest, or take "
            "its line out"
        )
    raise InputError(f"D-REFUSED Expected {url} to send a file, found {said}; look at the address in a browser")


def _described(reply: httpx.Response, *, begin: int) -> Reply:
    """The answer's extent, from Content-Range where it is a part and Content-Length where it is the whole."""
    length = reply.headers.get("Content-Length", "")
    total = int(length) if length.isdecimal() else None
    if reply.status_code == HTTPStatus.PARTIAL_CONTENT:
        extent, _, whole = reply.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
        first = extent.partition("-")[0]
        begin = int(first) if first.isdecimal() else -1
        total = int(whole) if whole.isdecimal() else None
    else:
        begin = 0
    kind = reply.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return Reply(begin, total, False, kind, reply.iter_raw())


def _successor(client: httpx.Client, url: str) -> str:
    """What the GDC says has become of the file whose id ends ``url``."""
    api, _, uuid = url.rpartition("/data/")
    try:
        reply = client.post(f"{api}/files/versions", json={"ids": [uuid]}).raise_for_status()
        found = {entry.get("id"): entry.get("latest_id") for entry in reply.json()}
    except (httpx.HTTPError, ValueError, AttributeError):
        return f"whether the GDC has superseded {uuid} could not be asked"
    latest = found.get(uuid)
    return f"the GDC has superseded it by {latest}" if latest and latest != uuid else f"the GDC knows no newer {uuid}"


def _retry_after(value: str) -> float:
    """Seconds that a Retry-After header asks for, as a number or as a date."""
    if value.isdecimal():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:  # none, or none that can be read
        return 0.0
