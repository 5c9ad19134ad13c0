"""How a file comes from the GDC: streamed, and never under its final name unless its MD5 is the manifest's."""

import hashlib
import urllib.request
from pathlib import Path

from histocarta.errors import InputError
from histocarta.files import replacing
from histocarta.progress import progress

_BLOCK = 1 << 20


def download(*, url: str, file: str | Path, md5: str) -> None:
    """Fetch ``url`` into ``file``; InputError where the bytes do not have ``md5`` (nothing is kept then).

    Network errors are raised as they come: the workflow's retries try again.
    """
    digest = hashlib.md5(usedforsecurity=False)
    with replacing(file) as temporary, temporary.open("wb") as out, urllib.request.urlopen(url, timeout=120) as reply:
        blocks = -(-int(reply.headers.get("Content-Length") or 0) // _BLOCK)
        for block in progress(
            iter(lambda: reply.read(_BLOCK), b""), total=blocks or None, what=f"MB of {Path(file).name}"
        ):
            out.write(block)
            digest.update(block)
        if digest.hexdigest() != md5.lower():
            raise InputError(
                f"Expected MD5 {md5} (manifest) of {Path(file).name}, found {digest.hexdigest()} from {url}; "
                "try again, or refresh the manifest"
            )
