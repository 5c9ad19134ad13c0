"""What the report shows of gene panels (Wang 2021: EndoPredict, Oncotype DX, PAM50 and the proliferation score)."""

from pathlib import Path

from histocarta.files import read_table
from histocarta.panels import CLUSTERS
from histocarta.report_page import Note, Section, Table, interval, number, p_text

_COUNTS = (
    ("genes", "genes"), ("tried", "tried"), ("significant", "ρ > 0, FDR < 0.05"), ("predictable", "predictable"),
    ("brought_forward", "brought forward"), ("validated", "validated"),
)  # fmt: skip


def panel_section(table: str) -> Section:
    """One row per panel of tables/panels-{way}.tsv."""
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
    return Section(f"Gene panels (regression, {way})", [Note(note), Table(columns, cells)])
