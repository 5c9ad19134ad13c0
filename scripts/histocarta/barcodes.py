"""How TCGA barcodes are built: read part by part, never cut at a fixed length."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

# docs.gdc.cancer.gov/Encyclopedia/pages/TCGA_Barcode: TCGA-site-participant-sample+vial-portion+analyte-plate-centre;
# a slide carries its kind and number after the portion (DX diagnostic; TS, BS, MS frozen: top, bottom, middle).
_BARCODE = re.compile(
    r"(?P<patient>TCGA-[A-Z0-9]{2}-[A-Z0-9]{4})"
    r"(?:-(?P<sample_type>\d{2})(?P<vial>[A-Z])?"
    r"(?:-(?P<portion>\d{2})(?P<analyte>[A-Z])?"
    r"(?:-(?:(?P<kind>DX|TS|BS|MS)(?P<number>[A-Z0-9]*)|(?P<plate>[A-Z0-9]{4})(?:-(?P<centre>\d{2}))?))?)?)?"
)
ANALYTES = "HRT"  # Broad GDAC replicate rule for RNA: H is preferred over R over T


@dataclass(frozen=True)
class Barcode:
    """The parts of one TCGA barcode; None where the text ends before the part."""

    patient: str
    sample_type: str | None = None
    vial: str | None = None
    portion: str | None = None
    kind: str | None = None
    number: int | None = None
    analyte: str | None = None
    plate: str | None = None


def slide_stem(filename: str) -> str:
    """The slide's name: the file name up to its first dot (after it come the UUID and the suffix)."""
    return PurePosixPath(filename).name.split(".", 1)[0]


def parse(text: str) -> Barcode | None:
    """Read a barcode or a slide's file name, in any case or with R's dots for hyphens; None where it is neither."""
    name = PurePosixPath(text.strip()).name.upper()
    stem = name.replace(".", "-") if name.startswith("TCGA.") else name.split(".", 1)[0]
    match = _BARCODE.fullmatch(stem)
    if match is None:
        return None
    part = match.groupdict()
    number = part["number"]
    return Barcode(
        patient=part["patient"],
        sample_type=part["sample_type"],
        vial=part["vial"],
        portion=part["portion"],
        kind=part["kind"],
        # Frozen sections are numbered by letter as well (TSA, BSB): those have no number to compare.
        number=int(number) if number and number.isdigit() else None,
        analyte=part["analyte"],
        plate=part["plate"],
    )


def looks_like_tcga(text: str) -> bool:
    """Whether ``text`` was meant as a TCGA barcode, well formed or not."""
    return text.strip().upper().startswith(("TCGA-", "TCGA."))


def choose_aliquot(aliquots: Sequence[str]) -> tuple[str, str]:
    """One of several expression aliquots of one patient and sample type, and the rule that chose it.

    First vial (later vials are often FFPE), then analyte H over R over T, then the highest plate, then the highest
    portion (Broad GDAC's replicate rules), then alphabetical order.
    """
    if not aliquots:
        raise ValueError("no aliquot to choose from")
    ranked = sorted(aliquots, key=_preference)
    if len(ranked) == 1:
        return ranked[0], "only aliquot"
    first, second = (_preference(text)[0] for text in ranked[:2])
    rules = ("first vial", "analyte H over R over T", "highest plate", "highest portion")
    rule = next((rule for rule, a, b in zip(rules, first, second, strict=True) if a != b), "alphabetical order")
    return ranked[0], rule


def _preference(text: str) -> tuple[tuple, str]:
    barcode = parse(text) or Barcode(patient=text)
    analyte = ANALYTES.find(barcode.analyte or "")
    parts = (
        barcode.vial or "",
        analyte if barcode.analyte and analyte >= 0 else len(ANALYTES),
        tuple(-ord(letter) for letter in barcode.plate or ""),
        -int(barcode.portion or 0),
    )
    return parts, text


def survival_slide(numbers: Iterable[int | None]) -> int | None:
    """The lowest DX number of a patient's slides (DX1 where there is one); None where no slide has a number."""
    return min((number for number in numbers if number is not None), default=None)
