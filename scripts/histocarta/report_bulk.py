"""What the report shows of pseudo-bulk: how predicted genes follow bulk expression, and whether they tell subtypes."""

from collections.abc import Sequence
from pathlib import Path

from histocarta.files import read_json, read_table
from histocarta.report_page import Block, Note, Picture, Section, Table, interval, number, p_text, picture_uri

BEST = 10
NOTE = (
    "The mean of a gene's predictions over all tiles of a patient of {other}, beside its bulk expression: Pearson's r "
    "over {n} samples, Benjamini–Hochberg over all genes tried (one without r has p = 1). Nothing was fitted there."
)


def bulk_sections(folder: str, trait: str, *, made: Sequence[str]) -> list[Section]:
    """A section for each cohort in which a trait's (``folder``) means were held against bulk, of the files ``made``."""
    found = sorted(path for path in made if path.startswith(f"{folder}/elsewhere/") and path.endswith("/bulk.json"))
    return [_section(Path(path).parent, trait, made=made) for path in found]


def _section(folder: Path, trait: str, *, made: Sequence[str]) -> Section:
    other, told = folder.parent.name, read_json(folder / "bulk.json")
    table = read_table(folder / "bulk.tsv")
    rows = [
        [
            row["gene"],
            row["n"],
            number(row["r"]),
            number(row["rho"]),
            p_text(row["p"]),
            p_text(row["fdr"]),
            row["reason"],
        ]
        for row in table.head(BEST).to_dict("records")
    ]
    counts = [
        ("genes with r > 0", f"{told['positive']} of {told['n_genes']}"),
        (f"positive with FDR ≤ {told['fdr']}", str(told["significant_positive"])),
        (f"negative with FDR ≤ {told['fdr']}", str(told["significant_negative"])),
        ("median r", number(told["median_r"])),
    ]
    blocks: list[Block] = [
        Note(NOTE.format(other=other, n=told["n_samples"])),
        Table(("genes", "number"), counts),
        Table(("gene", "samples", "r", "ρ", "p", "FDR", "remark"), rows, "Best of them", folded=True),
        Picture(picture_uri(f"{folder}/bulk.png"), "r of every gene with its bulk expression"),
    ]
    if f"{folder}/subtypes.tsv" in made:
        blocks.append(_subtypes(f"{folder}/subtypes.tsv"))
    return Section(f"Pseudo-bulk of {other}: {trait}", blocks)


def _subtypes(path: str) -> Table:
    found = read_table(path)
    rows = [
        [row["features"], row["n_features"], f"{row['n_first']} {row['first']}, {row['n_second']} {row['second']}",
         interval(row["auc"], row["low"], row["high"]), row["reason"]]
        for row in found.to_dict("records")
    ]  # fmt: skip
    title = "Told apart by logistic regression; genes and penalty chosen within the folds"
    return Table(("features", "genes", "patients", "AUC (95 % CI)", "remark"), rows, title)
