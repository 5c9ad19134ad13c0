"""Gene sets at the ends of a ranking: one that is planted is found, drawn ones are not, and nothing goes online."""

import socket

import numpy as np
import pandas as pd
import pytest
from histocarta.enrichment import enrich_ranking
from histocarta.errors import InputError
from histocarta.files import read_table, write_table
from histocarta.gene_sets import read_gmt, read_ranking
from histocarta.report_contrasts import enrichment_section


@pytest.fixture
def study(tmp_path):
    """1,000 genes in random order; UP holds 30 of the first 100, DOWN 30 of the last, ten sets are drawn."""
    rng = np.random.default_rng(0)
    names = [f"GENE{n:04d}" for n in range(1000)]
    score = np.sort(rng.normal(size=1000))[::-1]
    write_table(
        pd.DataFrame({"trait": [f"{name}|{n}" for n, name in enumerate(names)], "t": score}), tmp_path / "rank.tsv"
    )
    sets = {"UP": rng.choice(names[:100], 30, replace=False), "DOWN": rng.choice(names[-100:], 30, replace=False)}
    sets |= {f"DRAWN{n}": rng.choice(names, 40, replace=False) for n in range(10)}
    sets |= {"SMALL": names[:5], "STRANGE": [f"OTHER{n}" for n in range(40)]}
    lines = ["\t".join([name, "note", *map(str, genes)]) for name, genes in sets.items()]
    (tmp_path / "sets.gmt").write_text("\n".join(lines) + "\n")
    return tmp_path


def enriched(folder, **changes):
    paths = {"ranking": str(folder / "rank.tsv"), "sets": str(folder / "sets.gmt"), "table": str(folder / "e.tsv")}
    enrich_ranking(**paths | changes, by="t", seed=1)
    return read_table(folder / "e.tsv").set_index("set")


def test_planted_sets_are_found_and_drawn_ones_are_not(study, monkeypatch):
    monkeypatch.setattr(socket, "socket", None)  # whoever would go online fails
    table = enriched(study)
    numbers = table[["genes", "es", "nes", "p", "fdr"]].apply(pd.to_numeric)
    assert set(table.index[:2]) == {"UP", "DOWN"} and (numbers.loc[["UP", "DOWN"], "fdr"] < 0.01).all()
    assert numbers.loc["UP", "nes"] > 1.5 and numbers.loc["DOWN", "nes"] < -1.5
    assert (numbers.loc[[f"DRAWN{n}" for n in range(10)], "fdr"] > 0.05).all()
    assert "SMALL" not in table.index and "STRANGE" not in table.index
    assert (numbers["p"] > 0).all()  # 1 / 1001 where no permutation was as extreme
    assert set(table.loc["UP", "leading"].split(";")) <= set(read_gmt(str(study / "sets.gmt"))["UP"])


def test_the_enrichment_score_is_the_running_sum_of_gsea(study):
    """Subramanian 2005: rising by |t| / sum of |t| at the set's genes, falling by 1 / others, its largest deviation."""
    genes, members = read_ranking(str(study / "rank.tsv"), by="t"), read_gmt(str(study / "sets.gmt"))["UP"]
    hit = genes.index.isin(members)
    steps = np.where(hit, genes.abs() / genes.abs()[hit].sum(), -1 / (~hit).sum())
    running = np.cumsum(steps)
    expected = running[np.abs(running).argmax()]
    assert float(enriched(study).loc["UP", "es"]) == pytest.approx(expected, abs=1e-6)


def test_the_same_seed_gives_the_same_table(study):
    assert enriched(study).equals(enriched(study))


def test_sets_of_other_names_are_told(study):
    (study / "other.gmt").write_text("A\tnote\t" + "\t".join(f"ENSG{n}" for n in range(50)) + "\n")
    with pytest.raises(InputError, match="genes are named like 'GENE0000', those of the sets like 'ENSG0'"):
        enriched(study, sets=str(study / "other.gmt"))


@pytest.mark.parametrize(("text", "said"), [("", "found an empty file"), ("A B C\n", "in line 1 of .*, found 'A B C'")])
def test_a_file_that_is_no_gmt_is_told(study, text, said):
    (study / "bad.gmt").write_text(text)
    with pytest.raises(InputError, match=said):
        enriched(study, sets=str(study / "bad.gmt"))
    with pytest.raises(InputError, match="found nothing at"):
        read_gmt(str(study / "absent.gmt"))


def test_genes_without_a_score_are_not_ranked(tmp_path):
    table = pd.DataFrame({"trait": ["b|1", "A", "C", "A"], "t": ["1", "2", "", "5"]})
    write_table(table, tmp_path / "rank.tsv")
    assert read_ranking(str(tmp_path / "rank.tsv"), by="t").to_dict() == {"A": 2.0, "B": 1.0}


def test_the_report_names_the_ranking(study):
    enriched(study)
    section = enrichment_section(str(study / "e.tsv"), {})
    assert len(section.blocks) == 3
    assert "2 of 12 sets have an FDR below" in section.blocks[0].text


def test_of_predicted_genes_the_sets_show_how_well_their_genes_are_predicted(study):
    """A ranking by ρ: beside the bars a box of each set's ρ, whichever way and name of sets hold a hyphen."""
    ranked = read_table(study / "rank.tsv")
    (study / "tables").mkdir()
    write_table(ranked.rename(columns={"t": "test_rho"}), study / "tables" / "regression-per-gene.tsv")
    enrich_ranking(
        ranking=str(study / "tables" / "regression-per-gene.tsv"), sets=str(study / "sets.gmt"),
        table=str(study / "tables" / "enrichment-per-gene-my-sets.tsv"), by="test_rho", seed=1,
    )  # fmt: skip
    section = enrichment_section(
        str(study / "tables" / "enrichment-per-gene-my-sets.tsv"), {"my-sets": str(study / "sets.gmt")}
    )
    assert section.title == "Gene sets (predicted genes, per-gene-my-sets)"
    assert section.blocks[-1].caption == "ρ of the sets' genes"
