"""How the colours and the scale of a map are named under it: text and boxes laid out in one grey strip."""

from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

FONT = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"  # Pillow's own font has no µ
SIZE = 14  # px of text
LINE = 24  # px from line to line
MARGIN = 10
BOX = 14  # px, side of a colour box
BAR = 4  # px, thickness of the scale bar
INK, PAPER = 0, 255
BARS_UM = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000)

Box = tuple[slice, slice]


def legend(
    *, title: str, notes: list[str], labels: list[str], width: int, microns_per_pixel: float | None
) -> tuple[np.ndarray, list[Box]]:
    """A strip of text (uint8 grey, height × at least ``width``) and the inside of each label's colour box.

    Title and notes stand on lines of their own, the labels flow; a scale bar comes last where the scale is known.
    """
    font = ImageFont.truetype(FONT, SIZE)
    lines = [title, *notes]
    bar = _bar(width, microns_per_pixel) if microns_per_pixel else None
    needed = [font.getlength(line) for line in lines] + [BOX + MARGIN + font.getlength(label) for label in labels]
    width = max(width, int(max(needed)) + 2 * MARGIN + 1)
    places, left, row = [], MARGIN, len(lines)
    for label in labels:
        length = BOX + MARGIN // 2 + int(font.getlength(label)) + 2 * MARGIN
        if left > MARGIN and left + length > width:
            left, row = MARGIN, row + 1
        places.append((left, row))
        left += length
    rows = row + 1 + (bar is not None)
    strip = Image.new("L", (width, rows * LINE + MARGIN), PAPER)
    draw = ImageDraw.Draw(strip)
    for number, line in enumerate(lines):
        draw.text((MARGIN, _middle(number)), line, fill=INK, font=font, anchor="lm")
    boxes = []
    for (left, row), label in zip(places, labels, strict=True):
        top = _middle(row) - BOX // 2
        draw.rectangle((left, top, left + BOX - 1, top + BOX - 1), outline=INK)
        draw.text((left + BOX + MARGIN // 2, _middle(row)), label, fill=INK, font=font, anchor="lm")
        boxes.append((slice(top + 1, top + BOX - 1), slice(left + 1, left + BOX - 1)))
    if bar:
        middle = _middle(rows - 1)
        draw.rectangle((MARGIN, middle - BAR // 2, MARGIN + bar[0], middle + BAR // 2), fill=INK)
        draw.text((2 * MARGIN + bar[0], middle), bar[1], fill=INK, font=font, anchor="lm")
    return np.asarray(strip), boxes


def with_scale_bar(picture: Image.Image, *, microns_per_pixel: float) -> Image.Image:
    """``picture`` with a scale bar on white in its lower left corner, large enough to be read at half the size."""
    drawn = picture.copy()
    draw, font = ImageDraw.Draw(drawn), ImageFont.truetype(FONT, 2 * SIZE)
    length, words = _bar(picture.width, microns_per_pixel)
    left, bottom = MARGIN, picture.height - MARGIN
    width = max(length, int(font.getlength(words))) + 2 * MARGIN
    draw.rectangle((left, bottom - 2 * LINE - MARGIN, left + width, bottom), fill="white")
    draw.text((left + MARGIN, bottom - 2 * LINE), words, fill="black", font=font, anchor="lt")
    draw.rectangle((left + MARGIN, bottom - MARGIN - 2 * BAR, left + MARGIN + length, bottom - MARGIN), fill="black")
    return drawn


def _middle(row: int) -> int:
    return MARGIN // 2 + row * LINE + LINE // 2


def _bar(width: int, microns_per_pixel: float) -> tuple[int, str]:
    """Length in px and words of the longest round scale bar within a quarter of the picture."""
    fitting = [length for length in BARS_UM if length / microns_per_pixel <= width / 4] or [BARS_UM[0]]
    words = f"{fitting[-1] / 1000:g} mm" if fitting[-1] >= 1000 else f"{fitting[-1]} µm"
    return max(1, round(fitting[-1] / microns_per_pixel)), words
