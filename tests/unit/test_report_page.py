"""The page: opens offline, shows hostile names as text, carries its pictures, and is the same every time."""

import base64
import io
from html.parser import HTMLParser

import numpy as np
import pytest
from histocarta.report_page import (
    Caution,
    Gallery,
    Legend,
    Note,
    Picture,
    Section,
    Swatch,
    Table,
    Verbatim,
    cell,
    gallery_uri,
    interval,
    p_text,
    write_page,
)
from PIL import Image

PAYLOADS = [
    '"><img src=x onerror=alert(1)>',
    "<script>alert(1)</script>",
    "</script><svg onload=alert(1)>",
    "'><a href=javascript:alert(1)>",
    "{{ 7 * 7 }}",
]


class Elements(HTMLParser):
    """Collects tags, the attributes that run code or fetch something, and the text."""

    def __init__(self):
        super().__init__()
        self.tags, self.active, self.addresses, self.text = [], [], [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.active += [name for name, _ in attrs if name.startswith("on")]
        self.addresses += [value for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data):
        self.text += data


def parsed(path):
    page = Elements()
    page.feed(path.read_text(encoding="utf-8"))
    return page


@pytest.mark.parametrize("payload", PAYLOADS)
def test_names_from_sheets_are_text_everywhere(tmp_path, payload):
    section = Section(
        payload,
        [
            Note(payload),
            Caution(payload),
            Picture("data:image/png;base64,", payload),
            Table([payload], [[payload]], title=payload),
            Table([payload], [[payload]], title=payload, folded=True),
            Legend([Swatch((1, 2, 3), payload)], title=payload),
            Gallery([Picture("data:image/png;base64,", payload)], title=payload),
            Verbatim(payload, payload),
        ],
    )
    study = {"study": payload, "fidelity": "corrected", "seed": 1}
    write_page(tmp_path / "report.html", cohort=payload, study=study, sections=[section])
    page = parsed(tmp_path / "report.html")
    assert "script" not in page.tags and "svg" not in page.tags and page.active == []
    assert page.tags.count("img") == 2
    assert page.text.count(payload) >= 14
    assert all(address.startswith(("data:image/png", "#s")) for address in page.addresses)


def test_blocks_stand_in_the_order_in_which_they_are_given(tmp_path):
    blocks = [Table(["first"], [["1"]]), Note("second"), Table(["third"], [["3"]], title="folded", folded=True)]
    study = {"study": "s", "fidelity": "paper", "seed": 1}
    write_page(tmp_path / "report.html", cohort="c", study=study, sections=[Section("One", blocks)])
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert text.index("first") < text.index("second") < text.index("third")


def test_the_same_content_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        sections = [Section("Cohort", [Note("one")])]
        study = {"study": "s", "fidelity": "paper", "seed": 1}
        write_page(tmp_path / name, cohort="c", study=study, sections=sections)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_gallery_picture_is_small():
    assert len(gallery_uri(Image.effect_noise((4000, 3000), 60).convert("RGB"))) < 900_000


def decoded(uri):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("L"))


def test_a_gallery_picture_has_a_bar_of_the_stated_length():
    # 2,560 px of 0.5 um are shown as 640 px of 2 um: of the round lengths 200 um (100 px) fits into a quarter.
    plain = Image.new("RGB", (2560, 1280), (90, 120, 90))
    shown = decoded(gallery_uri(plain, microns_per_pixel=0.5))
    assert shown.shape == (320, 640)
    rows = [np.flatnonzero(line < 40) for line in shown]
    bar = max(rows, key=len)
    assert bar[-1] - bar[0] + 1 == pytest.approx(100, abs=2) and len(bar) == pytest.approx(100, abs=3)
    assert (decoded(gallery_uri(plain)) > 80).all()


def test_numbers_are_written_by_their_kind():
    assert p_text("0.0421") == "0.042" and p_text("0.00004") == "4e-05" and p_text("") == "–"
    assert interval("0.7512", "0.6", "0.9") == "0.75 (0.60–0.90)" and interval("", "", "") == "–"
    assert interval("0.5", "", "") == "0.50"
    assert cell(None) == cell(float("nan")) == cell("") == "–" and cell(-0.00004) == "-4e-05" and cell(12) == 12
