"""What the report shows of models of spots in a cohort that they never saw: how many genes hold there, and which."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from histocarta.files import read_json, read_table
from histocarta.report_page import Block, Caution, Note, Picture, Section, Table, number, picture_uri

BEST = 15


def transfer_sections(folder: str, trait: str, *, made: Sequence[str]) -> list[Section]:
    """A section for every other cohort that a trait (its ``folder``) was scored in, of the files ``made``."""
    found = sorted(path for path in made if path.startswith(f"{folder}/elsewhere/") and path.endswith("/transfer.tsv"))
    return [_section(Path(path).parent, trait) for path in found]


def _section(folder: Path, trait: str) -> Section:
    other = folder.parent.name
    title = f"Expression in spots of {other}: {trait}"
    told, record = read_json(folder / "evaluation.json"), read_json(folder / "scores.json")
    if not record["models"]:
        return Section(title, [Caution("There is no model to be held against it.")])
    blocks: list[Block] = [
        Note(
            f"Cohort {other} took no part in any fit. Its windows are scored by the models of all rounds as they are, "
            "the mean of those that chose a gene, and held against its own spots on the scale that was learnt."
        )
    ]
    if told["missing"]:
        blocks.append(Caution(f"Not measured in {other}: {', '.join(told['missing'])}."))
    if record["left_out"]:
        blocks.append(Caution(f"Left out, as every round learnt from their patients: {', '.join(record['left_out'])}."))
    table = read_table(folder / "transfer.tsv")
    figures = table[["r_here", "r_there"]].apply(pd.to_numeric)
    blocks.append(Table(("all genes together", "value"), _summary(told["summary"], figures)))
    best = table.assign(by=figures["r_there"]).sort_values("by", ascending=False).dropna(subset="by").head(BEST)
    rows = [
        [row["gene"], row["n_patients_there"], number(row["r_there"]), number(row["r_here"])]
        for row in best.to_dict("records")
    ]
    blocks += [
        Table(("gene", "patients", f"median r in {other}", "median r, patients left out"), rows, f"Best in {other}"),
        Picture(picture_uri(f"{folder}/transfer.png"), "Each gene where it was learnt and in the other cohort"),
    ]
    return Section(title, blocks)


def _summary(found: dict, figures: pd.DataFrame) -> list[tuple[str, str]]:
    both = figures.dropna()
    return [
        ("patients, sections, spots", f"{found['n_patients']}, {found['n_sections']}, {found['n_spots']:,}"),
        ("median r here; there", f"{number(both['r_here'].median())}; {number(both['r_there'].median())}"),
        ("given depth, there", number(found["median_r_partial"])),
        ("genes with r > 0 there", f"{int((both['r_there'] > 0).sum())} of {len(both)}"),
        ("median AUROC there", number(found["median_auroc"])),
    ]
