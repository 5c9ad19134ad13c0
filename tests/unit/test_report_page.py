"""The page: opens offline, shows hostile names as text, carries its pictures, and is the same every time."""

from html.parser import HTMLParser

import pytest
from histocarta.report_page import (
    Caution,
    Gallery,
    Note,
    Picture,
    Section,
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
            Gallery([Picture("data:image/png;base64,", payload)], title=payload),
            Verbatim(payload, payload),
        ],
    )
    study = {"study": payload, "fidelity": "corrected", "seed": 1}
    write_page(tmp_path / "report.html", cohort=payload, study=study, sections=[section])
    page = parsed(tmp_path / "report.html")
    assert "script" not in page.tags and "svg" not in page.tags and page.active == []
    assert page.tags.count("img") == 2
    assert page.text.count(payload) >= 10
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


def test_a_gallery_picture_is_small(tmp_path):
    Image.effect_noise((4000, 3000), 60).convert("RGB").save(tmp_path / "slide.png")
    assert len(gallery_uri(tmp_path / "slide.png")) < 700_000


def test_numbers_are_written_by_their_kind():
    assert p_text("0.0421") == "0.042" and p_text("0.00004") == "4e-05" and p_text("") == "–"
    assert interval("0.7512", "0.6", "0.9") == "0.75 (0.60–0.90)" and interval("", "", "") == "–"
    assert cell(None) == "–" and cell(-0.00004) == "-4e-05" and cell(12) == 12
