"""Whether a TIFF was cut short: which of its directories, or of their tiles, lie behind the end of the file."""

import struct
from pathlib import Path
from typing import BinaryIO

import tifffile

TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# TIFF 6.0 and BigTIFF: where the first directory's offset stands, its format, that of the number of entries, and the
# bytes of an entry.
CLASSIC, BIG = (4, "I", "H", 12), (8, "Q", "Q", 20)


def why_cut_short(path: Path) -> str:
    """What lies behind the end of the TIFF ``path``, or nothing where all of it is there."""
    size = path.stat().st_size
    if fault := _broken_chain(path, size):
        return fault
    with tifffile.TiffFile(path) as tiff:
        end = end_of_tiles(tiff)
    return f"a TIFF cut short: its tiles reach byte {end:,}" if end > size else ""


def end_of_tiles(tiff: tifffile.TiffFile) -> int:
    """The byte behind the last tile of all images."""
    pages = [page for page in tiff.pages if isinstance(page, tifffile.TiffPage)]
    places = (pair for page in pages for pair in zip(page.dataoffsets, page.databytecounts, strict=False))
    return max((start + count for start, count in places if count), default=0)


def _broken_chain(path: Path, size: int) -> str:
    """The first directory that is not wholly there, or that leads back (tifffile would follow it for ever)."""
    with path.open("rb") as stream:
        order = "<" if stream.read(2) == b"II" else ">"
        place, offset_format, count_format, entry = BIG if stream.read(2) in (b"+\0", b"\0+") else CLASSIC
        seen = set()
        while offset := _number(stream, place, order + offset_format):
            if offset in seen:
                return f"a TIFF that is damaged: its directories lead back to byte {offset:,}"
            count = _number(stream, offset, order + count_format)
            place = offset + struct.calcsize(order + count_format) + entry * count
            if not count or place + struct.calcsize(order + offset_format) > size:
                return f"a TIFF cut short or damaged: a directory of its images lies at byte {offset:,}"
            seen.add(offset)
    return ""


def _number(stream: BinaryIO, place: int, kind: str) -> int:
    """The number that stands at byte ``place``, 0 where the file has ended."""
    stream.seek(place)
    found = stream.read(struct.calcsize(kind))
    return struct.unpack(kind, found)[0] if len(found) == struct.calcsize(kind) else 0
