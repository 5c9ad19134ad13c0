"""A file server on this machine that misbehaves as it is told: each path names a behaviour; requests are noted."""

import hashlib
import json
import socket
import ssl
import struct
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

UUID = "3ab80b58-b3f7-4097-9d42-e22670650ad5"
NEWER = "639c3cbc-965a-40fc-bd7f-14cc6be7c3ab"


def content(size: int) -> bytes:
    """The right bytes of a file of ``size``."""
    return np.random.default_rng(size).bytes(size)


def md5_of(size: int) -> str:
    return hashlib.md5(content(size), usedforsecurity=False).hexdigest()


class FaultServer(ThreadingHTTPServer):
    """A file lies at /<behaviour>/<size>/data/<uuid>, or where ``files`` has its bytes by uuid at /data/<uuid>.

    behaviours : of ``files``, by uuid; without one a file is sent as it should be. requests : (path, headers) of each
    in turn. sent : bytes of files that went out, by path. other : the root of a server to which this one can point.
    """

    daemon_threads = True

    def __init__(self, other: str = "", context: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests, self.sent, self.tries, self.other = [], Counter(), defaultdict(int), other
        self.files: dict[str, bytes] = {}
        self.behaviours: dict[str, str] = {}
        self.scheme = "https" if context else "http"
        if context:
            self.socket = context.wrap_socket(self.socket, server_side=True)

    def url(self, behaviour: str, size: int, *, uuid: str = UUID) -> str:
        return f"{self.root}/{behaviour}/{size}/data/{uuid}"

    @property
    def root(self) -> str:
        return f"{self.scheme}://localhost:{self.server_port}"

    def handle_error(self, request, client_address) -> None:
        """A client that has gone away is what many tests are about."""


@contextmanager
def serving(other: str = "", context: ssl.SSLContext | None = None) -> Iterator[FaultServer]:
    """A server that runs while the block does."""
    with FaultServer(other, context) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *words) -> None:
        pass

    def do_POST(self) -> None:
        """The GDC's files/versions."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["ids"]
        behaviour = self.path.split("/")[1]
        if behaviour == "gone-silent":
            return self._status(500)
        latest = {"gone-superseded": NEWER, "gone": None}[behaviour]
        self._page(200, "application/json", json.dumps([{"id": uuid, "latest_id": latest} for uuid in asked]).encode())

    def do_GET(self) -> None:
        self.server.requests.append((self.path, dict(self.headers)))
        self.server.tries[self.path] += 1
        *first, uuid = self.path.strip("/").split("/")
        if first == ["data"]:
            behaviour, self.content = self.server.behaviours.get(uuid, "ok"), self.server.files[uuid]
        else:
            behaviour, self.content = first[0], content(int(first[1]))
        self.size, self.first_try = len(self.content), self.server.tries[self.path] == 1
        getattr(self, "do_" + behaviour.replace("-", "_"))()

    # The behaviours.

    def do_ok(self) -> None:
        self._file()

    def do_throttled(self) -> None:
        self._file(pause=0.02, piece=1 << 16)

    def do_busy_once(self) -> None:
        self._status(503) if self.first_try else self._file()

    def do_busy(self) -> None:
        self._status(503)

    def do_limited_once(self) -> None:
        self._status(429, {"Retry-After": "1"}) if self.first_try else self._file()

    def do_limited_until_a_date(self) -> None:
        later = formatdate(time.time() + 2, usegmt=True)
        self._status(503, {"Retry-After": later}) if self.first_try else self._file()

    def do_limited_for_hours(self) -> None:
        self._status(429, {"Retry-After": "7200"})

    def do_drops_once(self) -> None:
        self._file(stop=self.size // 2 if self.first_try else None)

    def do_drops_always(self) -> None:
        """Each answer ends a third of the file further on."""
        self._file(stop=self._begin() + -(-self.size // 3))

    def do_resets_once(self) -> None:
        self._reset() if self.first_try else self._file()

    def do_resets_inside(self) -> None:
        if self.first_try:
            self._file(stop=self.size // 2, close=False)
            self._reset()
        else:
            self._file()

    def do_wrong_once(self) -> None:
        self._file(spoil=self.first_try)

    def do_wrong(self) -> None:
        self._file(spoil=True)

    def do_no_range(self) -> None:
        """Breaks off once, and then begins again whatever is asked."""
        self._file(stop=self.size // 2 if self.first_try else None, ranges=False)

    def do_other_range(self) -> None:
        """Breaks off once, and then goes on somewhere else."""
        self._file(stop=self.size // 2 if self.first_try else None, shift=7)

    def do_no_length(self) -> None:
        self._file(length=False)

    def do_no_length_drops_once(self) -> None:
        self._file(length=False, stop=self.size // 2 if self.first_try else None)

    def do_chunked(self) -> None:
        self._file(chunked=True)

    def do_longer(self) -> None:
        """More bytes than there should be, and no word about how many."""
        self._file(length=False, extra=b"more")

    def do_other_length(self) -> None:
        self._page(200, "application/octet-stream", self.content[: self.size // 2])

    def do_page_once(self) -> None:
        self._page(200, "text/html; charset=utf-8", b"<html>be back soon</html>") if self.first_try else self._file()

    def do_page(self) -> None:
        self._page(200, "text/html", b"<html>be back soon</html>")

    def do_gone(self) -> None:
        self._status(404)

    do_gone_superseded = do_gone_silent = do_gone

    def do_forbidden(self) -> None:
        self._file() if self.headers.get("X-Auth-Token") == "secret-token" else self._status(403)

    def do_teapot(self) -> None:
        self._status(418)

    def do_moved(self) -> None:
        self._status(302, {"Location": f"/ok/{self.size}/data/{UUID}"})

    def do_moved_elsewhere(self) -> None:
        self._status(302, {"Location": f"{self.server.other}/ok/{self.size}/data/{UUID}"})

    def do_moved_in_circles(self) -> None:
        self._status(302, {"Location": self.path})

    def do_moved_out(self) -> None:
        self._status(302, {"Location": "http://gdc.example/file"})

    # How they are done.

    def _begin(self) -> int:
        return int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))

    def _file(
        self, *, stop=None, spoil=False, ranges=True, length=True, chunked=False, close=True, shift=0, extra=b"",
        pause=0.0, piece=1 << 20,
    ) -> None:  # fmt: skip
        data = self.content
        data = bytes([data[0] ^ 1]) + data[1:] if spoil else data
        begin = self._begin() if ranges else 0
        if begin >= len(data) > 0:
            return self._status(416)
        begin = begin + shift if begin else 0
        self.send_response(206 if begin else 200)
        self.send_header("Content-Type", "application/octet-stream")
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif length:
            self.send_header("Content-Length", str(len(data) - begin))
        else:
            self.send_header("Connection", "close")
        self.end_headers()
        body = data[begin:stop] + extra
        for at in range(0, len(body), piece):
            part = body[at : at + piece]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part) if chunked else part)
            self.server.sent[self.path] += len(part)
            time.sleep(pause)
        if chunked:
            self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()
        self.close_connection = close and (stop is not None or not length)

    def _status(self, status: int, headers: dict | None = None) -> None:
        self._page(status, "text/plain", b"no", headers)

    def _page(self, status: int, kind: str, body: bytes, headers: dict | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _reset(self) -> None:
        """Close so that the other side sees ECONNRESET."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()
