"""Sets of genes in spots: whether two of them lie together, and of which sets the genes are that are predicted."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from histocarta.colocation import colocate
from histocarta.files import read_json, read_table, write_json, write_table
from histocarta.gene_sets import read_gmt
from histocarta.overrepresentation import represent

PLACE = ["slide", "row", "col"]
SIZES = (5, 500)  # of a set's genes among those tried, which are some hundreds here
ALPHA = 0.05
HOLM, HALF = "consistent by Holm", "the half with the higher median r (none is consistent by Holm)"
SECTION_COLUMNS = ["name", "values", "slide", "section", "patient", "n_spots", "r", "chance_mean", "chance_low",
                   "chance_high", "n_shifts", "torus_mean", "p_torus", "reason"]  # fmt: skip


def colocate_sets(
    *,
    scores: str,
    labels: str,
    summary: str,
    pairs: Sequence[Mapping],
    table: str,
    record: str,
    draws: int,
    seed: int,
) -> None:
    """Hold each pair of gene sets against chance, as measured and as predicted: :func:`histocarta.colocation.colocate`.

    scores : slide, row, col, a column per gene. labels, summary : of the same trait. pairs : name, first and second
    (genes). A gene that the trait does not predict is left out of its set and named; a set without any genes, or too
    few others to draw from, is a reason. ``table``: a row per pair, section and values (measured, predicted);
    ``record``: the tests of each.
    """
    facts, known = read_json(summary), read_table(labels)
    predicted = read_table(scores)
    known = known[known["target"].notna()] if len(known) else known
    spots = predicted[PLACE].merge(known, on=PLACE, how="inner", validate="one_to_one")
    spots = spots.assign(lattice=spots["slide"].map(facts["lattice"]))
    values = {
        "measured": pd.DataFrame(list(spots["target"]), columns=facts["genes"], dtype=float),
        "predicted": predicted.merge(spots[PLACE], on=PLACE, how="inner").reindex(columns=facts["genes"]),
    }
    parts, told = [], []
    for pair in pairs:
        sets = {side: [gene for gene in pair[side] if gene in facts["genes"]] for side in ("first", "second")}
        row = {"name": pair["name"], **sets, "reason": _fault(sets, facts["genes"] if len(spots) else [])}
        row["missing"] = [gene for side in sets for gene in pair[side] if gene not in facts["genes"]]
        for name, frame in values.items() if not row["reason"] else ():
            found, row[name] = colocate(frame, spots.drop(columns="target"), **sets, draws=draws, seed=seed)
            parts.append(found.assign(name=pair["name"], values=name))
        told.append(row)
    whole = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    write_table(whole.reindex(columns=SECTION_COLUMNS), table)
    write_json({"trait": facts["trait"], "draws": draws, "pairs": told}, record)


def represent_predicted(*, genes: str, sets: str, table: str) -> None:
    """Write of which gene sets the well predicted genes are more than their share among all that the trait predicts.

    genes : of :func:`histocarta.spot_evaluation.evaluate_spots`. sets : a GMT file. He 2020 counts cancer, drug and
    immune genes among the 102 that are consistent and among the 148 others; here the universe is the same: all genes
    of the trait. Chosen are those consistent by Holm at ``ALPHA``, or where there are none, the half with the higher
    median r; the column chosen_by says which. A table without rows: no set has 5 of the genes.
    """
    tried = read_table(genes)
    tried = tried.assign(symbol=tried["gene"].str.upper(), r=pd.to_numeric(tried["median_r"]))
    firm = tried[pd.to_numeric(tried["p_holm"]) <= ALPHA]
    by = HOLM if len(firm) else HALF
    chosen = firm if len(firm) else tried[tried["r"] > tried["r"].median()]
    found = represent(set(tried["symbol"]), set(chosen["symbol"]), read_gmt(sets), sizes=SIZES)
    found = found.assign(n_chosen=chosen["symbol"].nunique(), n_genes=tried["symbol"].nunique(), chosen_by=by)
    write_table(found, table)


def _fault(sets: Mapping[str, Sequence[str]], genes: Sequence[str]) -> str:
    """Why two sets cannot be compared among ``genes``; blank where they can."""
    if not genes:
        return "no spot was predicted"
    if empty := [side for side, members in sets.items() if not members]:
        return f"none of the genes of the {empty[0]} set is among those predicted"
    if shared := sorted({*sets["first"]} & {*sets["second"]}):
        return f"{', '.join(shared)} in both sets"
    members = sum(map(len, sets.values()))
    others = len(np.setdiff1d(genes, [*sets["first"], *sets["second"]]))
    return "" if others >= members else f"{others} other genes to draw from, need {members}"
