"""How well genes are predicted in spots, by the network and by its baselines: from predictions to tables."""

import numpy as np
import pandas as pd

from histocarta.files import read_json, read_table, write_json, write_table
from histocarta.spot_comparisons import compare_ways, depth_report, evaluate_classes
from histocarta.spot_evaluation import evaluate_spots
from histocarta.spot_pictures import draw_spot_maps

PLACE = ["slide", "row", "col"]
NAMED = "gene-"


def evaluate_ways(
    *,
    scores: str,
    labels: str,
    summary: str,
    genes: str,
    sections: str,
    patients: str,
    curve: str,
    evaluation: str,
    permutations: int,
    classes: dict[str, list[str]],
    seed: int,
) -> None:
    """Hold predictions (``scores``: slide, row, col, a column per gene) against the labels of the same windows.

    The tables are those of :func:`histocarta.spot_evaluation.evaluate_spots`; ``evaluation`` its summary, with that of
    each of the annotated ``classes`` and what of the values is left of depth. Windows without counts take no part.
    """
    facts, known = read_json(summary), read_table(labels)
    predicted = read_table(scores)
    known = known[known["target"].notna()] if len(known) else known
    spots = predicted[PLACE].merge(known, on=PLACE, how="inner", validate="one_to_one")
    predicted = predicted.merge(spots[PLACE], on=PLACE, how="inner").reindex(columns=facts["genes"])
    values = np.stack(spots["target"]) if len(spots) else np.zeros((0, len(facts["genes"])))
    measured = pd.DataFrame(values, columns=facts["genes"], dtype=float)
    spots = spots.assign(lattice=spots["slide"].map(facts["lattice"])).drop(columns="target")
    settings = {"permutations": permutations, "seed": seed}
    found = evaluate_spots(predicted, measured, spots, **settings)
    annotated = known["annotation"].unique()
    inside = evaluate_classes(predicted, measured, spots, classes=classes, known=annotated, **settings)
    _, depth = depth_report(measured, spots)
    for table, path in (
        (found.genes, genes),
        (found.sections, sections),
        (found.patients, patients),
        (found.curve, curve),
    ):
        write_table(table, path)
    record = {key: facts[key] for key in ("trait", "status", "code", "reason", "rule", "n_genes", "missing")}
    record |= {"summary": found.summary, "classes": {name: part.summary for name, part in inside.items()}}
    record["depth"] = {"median_r": depth["median_r_depth"].median(), "median_shared": depth["shared"].median()}
    write_json(record, evaluation)


def compare_baselines(*, genes: list[str], names: list[str], ways: str, tests: str) -> None:
    """Write each gene's median r by the network and by its baselines, and the network against each of them.

    genes : genes tables of :func:`evaluate_ways`, of ``names``; the first is the network's.
    """
    tables = {name: _numbers(read_table(path)) for name, path in zip(names, genes, strict=True)}
    by_gene, compared = compare_ways(tables, model=names[0])
    write_table(by_gene, ways)
    write_table(compared, tests)


def tabulate_spots(*, genes: list[str], metrics: list[str], table: str, parquet: str) -> None:
    """Write the task's table of performance: a row per trait and gene; of a trait that was left out its reason."""
    parts = []
    for path, told in zip(genes, metrics, strict=True):
        record = read_json(told)
        rows = _numbers(read_table(path)) if record["status"] == "ok" else pd.DataFrame({"gene": [""]})
        rows.insert(0, "trait", record["trait"])
        keys = ("status", "code", "reason", "independent", "genes_saw_test")
        parts.append(rows.assign(**{key: record[key] for key in keys}))
    joined = pd.concat(parts, ignore_index=True)
    write_table(joined, table)
    write_table(joined, parquet)


def draw_ranked(*, exported: str, genes: str, pictures: list[str], places: list[str]) -> None:
    """Draw the genes of these ranks (:func:`ranked_gene`), or "gene-<name>", on one slide: a picture each."""
    table = read_table(genes)
    for place, picture in zip(places, pictures, strict=True):
        named = place.removeprefix(NAMED)
        gene = named if place.startswith(NAMED) else ranked_gene(table, place=place)
        draw_spot_maps(exported=exported, gene=gene, picture=picture)


def ranked_gene(genes: pd.DataFrame, *, place: str) -> str:
    """The gene of the highest ("first"), second highest ("second") or lowest ("last") median r; "" where none has.

    Of those that were predicted in the most patients: in fewer a median strays further.
    """
    known = _numbers(genes).dropna(subset=["median_r"]).sort_values(["median_r", "gene"], ascending=[False, True])
    known = known[known["n_patients"] == known["n_patients"].max()]
    at = {"first": 0, "second": 1, "last": -1}[place]
    return str(known["gene"].iloc[at]) if len(known) > max(at, 0) else ""


def _numbers(table: pd.DataFrame) -> pd.DataFrame:
    """A genes table with its figures as numbers."""
    return table.assign(**{name: pd.to_numeric(table[name]) for name in table if name != "gene"})
