"""What the report shows of genes predicted in spots: how many agree, which best, beside which baselines, and where."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from histocarta.files import read_json, read_table
from histocarta.report_bulk import bulk_sections
from histocarta.report_cartography import cartography_blocks
from histocarta.report_explained import explained_blocks
from histocarta.report_latent import latent_blocks
from histocarta.report_page import Block, Caution, Note, Picture, Section, Table, number, p_text, picture_uri
from histocarta.report_spot_sets import set_blocks
from histocarta.report_transfer import transfer_sections
from histocarta.spot_names import is_control

BEST = 25
SLIDES = 4  # of which maps are shown
GENE_COLUMNS = (
    "gene", "patients with r > 0", "median r", "median ρ", "r with smoothed", "AUROC", "r given depth", "r shuffled",
    "p binomial", "p Holm", "FDR (BH)", "p permutation",
)  # fmt: skip
WAY_COLUMNS = ("baseline", "genes", "network better", "worse", "median difference of r", "p (Wilcoxon)", "remark")


def spot_sections(table: str, root: str, study: dict[str, Any], *, made: Sequence[str]) -> list[Section]:
    """A section per trait of tables/spots.tsv; ``made``: the other files that there are to show, by path."""
    settings = study["tasks"]["spots"]
    sections = [Section("Spots measured", [Picture(picture_uri(f"{root}/sections.png"), "Spots, genes and counts")])]
    for trait in settings["traits"]:
        folder = f"{root}/traits/{trait}/spots/consensus"
        record, told = read_json(f"{folder}/metrics.json"), read_json(f"{folder}/evaluation.json")
        title = f"Expression in spots: {trait}"
        if record["status"] != "ok":
            sections.append(Section(title, [Caution(f"Left out ({record['code']}): {record['reason']}.")]))
            continue
        pictures = sorted(path for path in made if path.startswith(f"{folder}/maps/"))
        blocks = _blocks(folder, told, record, pictures=pictures)
        blocks += [*set_blocks(folder, made=made), *cartography_blocks(folder, made=made)]
        blocks += latent_blocks(f"{Path(folder).parent}/latent", made=made)
        blocks += explained_blocks(f"{Path(folder).parent}/explained", made=made)
        sections.append(Section(title, blocks))
        sections += transfer_sections(str(Path(folder).parent), trait, made=made)
        sections += bulk_sections(str(Path(folder).parent), trait, made=made)
    return sections


def _blocks(folder: str, told: dict[str, Any], record: dict[str, Any], *, pictures: Sequence[str]) -> list[Block]:
    genes, sections = read_table(f"{folder}/genes.tsv"), read_table(f"{folder}/sections.tsv")
    blocks: list[Block] = [_note(told)]
    if told["summary"]["note"]:
        blocks.append(Caution(told["summary"]["note"]))
    if told["missing"]:
        blocks.append(Caution(f"Not measured in any section: {', '.join(told['missing'])}."))
    blocks += [
        Table(("all genes together", "value"), _summary_rows(told)),
        Table(GENE_COLUMNS, _gene_rows(genes), f"{min(BEST, len(genes))} genes, those in most patients first"),
        Table(("section", "patient", "spots", "genes", "median r", "median r given depth", "median RMSE"),
              _section_rows(sections), "Section by section"),
    ]  # fmt: skip
    if told["classes"]:
        rows = [
            [name, str(part["n_patients"]), f"{part['n_spots']:,}", number(part["median_r"]), str(part["n_holm"]),
             str(part["n_benjamini_hochberg"])]
            for name, part in told["classes"].items()
        ]  # fmt: skip
        head = ("annotated class", "patients", "spots", "median r", "genes by Holm", "genes by BH")
        blocks.append(Table(head, rows, "Within annotated classes"))
    blocks += [] if is_control(told["trait"]) else _against(folder)
    blocks.append(Table(("round", "epochs", "chosen by"), _epoch_rows(folder, record), "How long the models learnt"))
    if is_control(told["trait"]):
        return blocks
    blocks.append(Picture(picture_uri(f"{folder}/curve.png"), "Genes with at least so many consistent patients"))
    shown = sorted({Path(path).parent.name for path in pictures})[:SLIDES]
    ranks = {1: ("first",), 2: ("first", "last")}.get(int((genes["median_r"] != "").sum()), tuple(PLACES))
    blocks += [
        Picture(picture_uri(path), f"{Path(path).parent.name}: gene of the {PLACES[Path(path).stem]} median r")
        for path in pictures
        if Path(path).parent.name in shown and Path(path).stem in ranks
    ]
    return blocks


PLACES = {"first": "highest", "second": "second highest", "last": "lowest"}


def _note(told: dict[str, Any]) -> Note:
    rule = told["rule"]
    where = {"fold": "spots outside a round's test part", "all": "all spots, those of the test part too", "": ""}
    chosen = f"The genes are those of the highest mean count over {where[rule['selected_on']]}. " if where[
        rule["selected_on"]] else ""  # fmt: skip
    shuffled = (
        "Control: the models learnt from values that changed places within their section, so that nothing should be "
        "found. "
        if rule["shuffled"]
        else ""
    )
    return Note(
        f"{shuffled}{chosen}Predicted in spots of patients that the model did not learn from; r is Pearson's, over all "
        "spots of a patient. «r given depth» holds the spot's total count constant: without it, whoever guesses how "
        f"deeply a spot was sequenced does well. Normalised ({rule['normalisation']}), a gene's values correlate "
        f"with ln(total) at a median r of {number(told['depth']['median_r'])}."
    )


def _summary_rows(told: dict[str, Any]) -> list[tuple[str, str]]:
    found = told["summary"]
    reached = f"of {found['n_genes']} genes at {found['alpha']}"
    return [
        ("patients, sections, spots", f"{found['n_patients']}, {found['n_sections']}, {found['n_spots']:,}"),
        ("median r; given depth", f"{number(found['median_r'])}; {number(found['median_r_partial'])}"),
        ("median ρ", number(found["median_rho"])),
        ("median r with the measured value smoothed", number(found["median_r_smooth"])),
        ("median AUROC, highest against lowest quarter of spots", number(found["median_auroc"])),
        ("RMSE (natural logarithm)", number(found["rmse"])),
        ("genes with a median r above 0", f"{found['genes_positive_median_r']} of {found['n_genes']}"),
        ("consistent by Holm (family-wise error)", f"{found['n_holm']} {reached}"),
        ("consistent by Benjamini–Hochberg (FDR)", f"{found['n_benjamini_hochberg']} {reached}"),
        ("consistent by Bonferroni", f"{found['n_bonferroni']} {reached}"),
        ("smallest p that so many patients can give", p_text(found["smallest_p"])),
    ]


def _gene_rows(genes: pd.DataFrame) -> list[list[str]]:
    order = genes.assign(by=pd.to_numeric(genes["median_r"]), of=pd.to_numeric(genes["n_patients"]))
    best = order.sort_values(["of", "by"], ascending=False).head(BEST)
    figures = ("median_r", "median_rho", "median_r_smooth", "median_auroc", "median_r_partial", "median_r_permuted")
    tests = ("p_binomial", "p_holm", "fdr_bh", "p_permutation")
    return [
        [row["gene"], f"{row['consistent']} of {row['n_patients']}", *(number(row[name]) for name in figures),
         *(p_text(row[name]) for name in tests)]
        for row in best.to_dict("records")
    ]  # fmt: skip


def _section_rows(sections: pd.DataFrame) -> list[list[str]]:
    figures = ["r", "r_partial", "rmse", "n_spots"]
    table = sections.assign(**{name: pd.to_numeric(sections[name]) for name in figures})
    rows = []
    for (section, patient), own in table.groupby(["slide", "patient"]):
        known = own["r"].notna().sum()
        medians = [number(own[name].median()) for name in ("r", "r_partial", "rmse")]
        rows.append([section, patient, f"{int(own['n_spots'].max()):,}", str(known), *medians])
    return rows


def _against(folder: str) -> list[Block]:
    ways = read_table(f"{folder}/baselines.tsv").drop(columns="gene").apply(pd.to_numeric)
    tests = read_table(f"{folder}/against-baselines.tsv")
    absent = read_json(f"{Path(folder).parent}/baselines/record.json")["baselines"]
    rows = [
        [row["way"], row["n_genes"], row["better"], row["worse"], number(row["median_difference"]), p_text(row["p"]),
         absent.get(row["way"], {}).get("reason") or row["reason"]]
        for row in tests.to_dict("records")
    ]  # fmt: skip
    medians = [(name, str(ways[name].notna().sum()), number(ways[name].median())) for name in ways]
    return [
        Table(("predicted by", "genes", "median r"), medians, "The network and its baselines"),
        Table(WAY_COLUMNS, rows, "Gene by gene (genes share their patients: p is too small)"),
    ]


def _epoch_rows(folder: str, record: dict[str, Any]) -> list[list[str]]:
    rows = []
    for found in record["rounds"]:
        number_of = found["round"]
        model = read_json(f"{Path(folder).parent}/round-{number_of}/model.json")
        inner = model.get("inner")
        how = f"{inner['folds']} folds by {inner['unit']}" if inner else "the validation part"
        rows.append([str(number_of), found["code"] or str((inner or {}).get("chosen", model["validations"])), how])
    return rows
