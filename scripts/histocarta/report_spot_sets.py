"""What the report shows of sets of genes in spots: which lie together, and which hold the predicted ones."""

from collections.abc import Sequence
from pathlib import Path

from histocarta.files import read_json, read_table
from histocarta.report_page import Block, Caution, Note, Table, number, p_text

TOP = 10
TESTS = {
    "paired_t": "sections, paired t (He 2020)",
    "paired_t_patients": "patients, paired t",
    "torus": "shifts on the lattice",
}


def set_blocks(folder: str, *, made: Sequence[str]) -> list[Block]:
    """Co-location and over-representation of a trait, by what of them is among the files ``made``."""
    blocks: list[Block] = []
    if f"{folder}/colocation.json" in made:
        blocks += _colocation(read_json(f"{folder}/colocation.json")["pairs"])
    for path in sorted(path for path in made if path.startswith(f"{folder}/enrichment-")):
        blocks += _enrichment(path)
    return blocks


def _colocation(pairs: Sequence[dict]) -> list[Block]:
    blocks: list[Block] = [
        Note(
            "Whether two sets of genes lie in the same spots: r of their mean z-scores within a section, beside r of "
            "random pairs of as many other genes (He 2020) and of one set shifted over the lattice, which stays as "
            "smooth as it is. Genes share their spots' depth, so that chance is above 0."
        )
    ]
    rows = []
    for pair in pairs:
        if pair["missing"]:
            blocks.append(Caution(f"{pair['name']}: not among the predicted genes: {', '.join(pair['missing'])}."))
        if pair["reason"]:
            blocks.append(Caution(f"{pair['name']}: {pair['reason']}."))
            continue
        for values in ("measured", "predicted"):
            for test, title in TESTS.items():
                told = pair[values][test]
                unknown = None in (told["mean_r"], told["mean_chance"])  # too few spots, or shifts
                side = "–" if unknown else "more" if told["mean_r"] > told["mean_chance"] else "less"
                rows.append([pair["name"], values, title, str(told["n"]), number(told["mean_r"]),
                             number(told["mean_chance"]), side, p_text(told["p"])])  # fmt: skip
    head = ("pair", "values", "over", "n", "mean r", "by chance", "together", "p (two-tailed)")
    return [*blocks, *([Table(head, rows, "Gene sets in the same spots")] if rows else [])]


def _enrichment(path: str) -> list[Block]:
    found = read_table(path)
    name = Path(path).stem.removeprefix("enrichment-")
    if found.empty:
        return [Note(f"Of no set of {name} five genes were predicted.")]
    first = found.iloc[0]
    rows = [
        [row["set"], row["genes"], row["chosen"], number(row["expected"]), p_text(row["p"]), p_text(row["fdr"])]
        for row in found.head(TOP).to_dict("records")
    ]
    title = (
        f"Sets of {name} with more than their share of the {first['n_chosen']} of {first['n_genes']} genes that are "
        f"predicted best: {first['chosen_by']}"
    )
    return [Table(("set", "genes tried", "of the best", "expected", "p", "FDR"), rows, title, folded=True)]
