"""Which image files OpenSlide opens as they are, and which must be made into a pyramid first."""

import hashlib
import re
import struct
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from histocarta.errors import InputError

PLAIN = {".jpg", ".jpeg", ".png"}
TIFF = {".tif", ".tiff"}
_TILE_WIDTH = 322  # TIFF 6.0, section 15


def is_plain_image(path: str | Path) -> bool:
    """Whether ``path`` is an image without tiles (JPEG, PNG, strip TIFF); a TIFF that is not there counts as tiled."""
    path = Path(path)
    suffix = path.suffix.lower()
    return suffix in PLAIN or (suffix in TIFF and path.is_file() and not _is_tiled(path))


def pyramid_name(file: str) -> str:
    """What the pyramid made from a plain image is called: the image's name as far as it can be typed, and its own mark.

    The mark is a hash of the path in the sheet, so that a/core.jpg and b/core.jpg are two.
    """
    plain = unicodedata.normalize("NFKD", Path(file).stem).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^A-Za-z0-9_]+", "-", plain).strip("-")[:60] or "image"
    return f"{slug}-{hashlib.sha256(file.encode('utf-8')).hexdigest()[:8]}"


def plain_image_named(name: str, files: Iterable[str]) -> str:
    """The image among a sheet's ``files`` whose pyramid is called ``name``; InputError where there is none."""
    found = next((file for file in files if pyramid_name(file) == name), None)
    if found is None:
        raise InputError(
            f"Expected a plain image of the slide sheet, found none called {name}; ask for the slide instead, whose "
            "image is imported where it needs to be"
        )
    return found


def _is_tiled(path: Path) -> bool:
    """Whether a TIFF's first directory has a TileWidth tag; a damaged or unreadable one counts as tiled.

    This runs while the jobs are planned, where one bad file must not stop all: OpenSlide names it when it is opened.
    """
    try:
        with path.open("rb") as stream:
            tags = _first_tags(stream)
    except (OSError, ValueError, struct.error):
        return True
    return not tags or _TILE_WIDTH in tags


def _first_tags(stream: BinaryIO) -> list[int]:
    """Numbers of the tags in a TIFF's first directory; none where it is no TIFF or the directory is incomplete."""
    head = stream.read(16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None or len(head) < 16:
        return []
    big = struct.unpack(order + "H", head[2:4])[0] == 43
    offset = struct.unpack(order + "Q", head[8:16])[0] if big else struct.unpack(order + "I", head[4:8])[0]
    stream.seek(offset)
    count_format, entry_size = ("Q", 20) if big else ("H", 12)
    count = struct.unpack(order + count_format, stream.read(struct.calcsize(count_format)))[0]
    length = min(count, 4096) * entry_size
    entries = stream.read(length)
    if len(entries) < length:
        return []
    return [struct.unpack_from(order + "H", entries, start)[0] for start in range(0, length, entry_size)]
