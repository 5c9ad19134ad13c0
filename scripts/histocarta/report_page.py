"""What a report page is made of, and how figures become its text: everything inside one file, every name escaped."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
from jinja2 import Environment
from PIL import Image

from histocarta.files import replacing
from histocarta.legends import with_scale_bar
from histocarta.versions import software

GALLERY_PX = 640  # longest side of a picture in a gallery


@dataclass(frozen=True)
class Note:
    """A paragraph that explains."""

    kind: ClassVar[str] = "note"
    text: str


@dataclass(frozen=True)
class Caution:
    """A paragraph that a reader must not miss."""

    kind: ClassVar[str] = "caution"
    text: str


@dataclass(frozen=True)
class Picture:
    """An image inside the page, as a data URI, and what it shows."""

    kind: ClassVar[str] = "picture"
    uri: str
    caption: str


@dataclass(frozen=True)
class Swatch:
    """One colour of a legend (red, green, blue) and what it stands for; ``look``: filled, outlined or hatched."""

    colour: tuple[int, int, int]
    label: str
    look: str = "filled"


@dataclass(frozen=True)
class Legend:
    """What the colours of the pictures below mean, once for all of them and in the page's own letters."""

    kind: ClassVar[str] = "legend"
    swatches: Sequence[Swatch]
    title: str = ""


@dataclass(frozen=True)
class Gallery:
    """Pictures side by side."""

    kind: ClassVar[str] = "gallery"
    pictures: Sequence[Picture]
    title: str = ""


@dataclass(frozen=True)
class Table:
    """Rows for the page; numbers are right-aligned, a folded table opens on a click."""

    kind: ClassVar[str] = "table"
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    title: str = ""
    folded: bool = False


@dataclass(frozen=True)
class Verbatim:
    """Text as a machine reads it, folded under its title."""

    kind: ClassVar[str] = "verbatim"
    title: str
    text: str


Figure = str | float | None  # a cell of a .tsv, or a value of a .json
Block = Note | Caution | Picture | Legend | Gallery | Table | Verbatim


@dataclass
class Section:
    """One part of the report: its blocks from top to bottom."""

    title: str
    blocks: list[Block] = field(default_factory=list)


def write_page(path: str | Path, *, cohort: str, study: dict[str, Any], sections: Sequence[Section]) -> None:
    """Write the page; it opens offline, without scripts, and shows names from sheets as text."""
    page = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
        files("histocarta").joinpath("templates/report.html").read_text(encoding="utf-8")
    )
    with replacing(path) as temporary:
        text = page.render(cohort=cohort, study=study, software=software(), sections=sections)
        temporary.write_text(text, encoding="utf-8")


def interval(value: Figure, low: Figure, high: Figure, digits: int = 2) -> str:
    """A figure with its range or interval, alone where it has none."""
    bounds = "" if _blank(low) or _blank(high) else f" ({number(low, digits)}–{number(high, digits)})"
    return number(value, digits) + bounds


def number(value: Figure, digits: int = 2) -> str:
    """A figure with ``digits`` decimals, a dash where there is none."""
    return "–" if _blank(value) else f"{float(value):.{digits}f}"


def p_text(value: Figure) -> str:
    """A p value as text: three decimals, small ones in powers of ten."""
    if _blank(value):
        return "–"
    return f"{float(value):.3f}" if float(value) >= 0.001 else f"{float(value):.0e}"


def cell(value: Any) -> Any:
    """A value of a record as the page shows it; a dash where there is none."""
    if _blank(value):
        return "–"
    return f"{value:.3g}" if isinstance(value, float) else value


def _blank(value: Any) -> bool:
    """Whether a cell of a table or a record holds nothing: blank, null or not a number."""
    return value is None or value == "" or value != value


def whole_table(frame: pd.DataFrame, *, title: str, folded: bool = False) -> Table:
    """All of ``frame``."""
    return Table(list(frame.columns), [[cell(value) for value in row] for row in frame.to_numpy()], title, folded)


def picture_uri(path: str | Path) -> str:
    """A PNG file as a data URI."""
    return data_uri(Path(path).read_bytes())


def gallery_uri(picture: Image.Image, *, microns_per_pixel: float | None = None) -> str:
    """A picture reduced to the size at which a gallery shows it, as a data URI; with a scale bar where it is known."""
    small = picture.convert("RGB")
    small.thumbnail((GALLERY_PX, GALLERY_PX), Image.Resampling.LANCZOS)
    if microns_per_pixel:
        # After the reduction, so that the letters have the same size under every slide.
        small = with_scale_bar(small, microns_per_pixel=microns_per_pixel * picture.width / small.width)
    stream = io.BytesIO()
    small.save(stream, format="JPEG", quality=88, subsampling=0)  # full colour: its edges are what a map is about
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"


def data_uri(png: bytes) -> str:
    """PNG bytes as a data URI."""
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"
