"""What the report shows of gene panels (Wang 2021: EndoPredict, Oncotype DX, PAM50 and the proliferation score)."""

from collections.abc import Mapping
from pathlib import Path

from histocarta import figures
from histocarta.files import read_table
from histocarta.panel_figures import panel_heatmaps
from histocarta.panels import CLUSTERS, scale_panel, tested_samples
from histocarta.report_page import Gallery, Note, Picture, Section, Table, data_uri, interval, number, p_text
from histocarta.sheets import read_traits

_COUNTS = (
    ("genes", "genes"), ("tried", "tried"), ("significant", "ρ > 0, FDR < 0.05"), ("predictable", "predictable"),
    ("brought_forward", "brought forward"), ("validated", "validated"),
)  # fmt: skip


_AGREEMENTS = (
    ("gene", "genes' clusters, predicted and measured"),
    ("predicted_subtype", "predicted clusters and subtype"),
    ("measured_subtype", "measured clusters and subtype"),
)


def panel_section(table: str, root: str, panels: Mapping[str, str]) -> Section:
    """One row per panel of tables/panels-{way}.tsv, further agreements, and heat maps of those that can be drawn."""
    rows, way = read_table(table), Path(table).stem.removeprefix("panels-")
    counts = [(name, title) for name, title in _COUNTS if (rows[name] != "").any()]
    cells = [
        [
            row["panel"],
            *(row[name] for name, _ in counts),
            number(row["median_rho"]),
            number(row["score_rho"]),
            p_text(row["score_p"]),
            interval(row["cluster_ari"], row["cluster_low"], row["cluster_high"]) if row["cluster_ari"] else "",
            p_text(row["cluster_p"]),
            row["cluster_reason"] or row["score_reason"],
        ]
        for row in rows.to_dict("records")
    ]
    columns = ("panel", *(title for _, title in counts), "median ρ", "score's ρ", "p", "ARI (95 % CI)", "p", "remark")
    note = (
        "Score: the mean over a panel's genes, as predicted against as measured, on the test samples. ARI: adjusted "
        f"Rand index of the samples' {CLUSTERS} consensus clusters by predicted and by measured genes; 0 is chance, 1 "
        "the same groups."
    )
    more = [
        (row["panel"], words, interval(row[f"{kind}_ari"], row[f"{kind}_low"], row[f"{kind}_high"]),
         p_text(row[f"{kind}_p"]))
        for row in rows.to_dict("records")
        for kind, words in _AGREEMENTS
        if row.get(f"{kind}_ari")
    ]  # fmt: skip
    blocks = [Table(("panel", "agreement of", "ARI (95 % CI)", "p"), more)] if more else []
    pictures = _heatmaps(Path(root) / "transcriptome" / way, panels)
    blocks += [Gallery(pictures, "Measured and predicted, genes and samples in one order")] if pictures else []
    return Section(f"Gene panels (regression, {way})", [Note(note), Table(columns, cells), *blocks])


def _heatmaps(folder: Path, panels: Mapping[str, str]) -> list[Picture]:
    if not panels:
        return []
    ends, _ = tested_samples(folder / "predictions.parquet", folder / "measured.parquet")
    known = {name.split("|")[0]: name for name in ends["predicted"].columns}
    pictures = []
    for panel, path in panels.items():
        scaled, _ = scale_panel(ends, [known[gene] for gene in read_traits(path) if gene in known])
        if scaled:
            pictures.append(Picture(data_uri(figures.png(panel_heatmaps(scaled, panel=panel))), panel))
    return pictures
