"""How the MCAT table of TCGA-LUAD (one row per slide: z-scores, survival, file name) becomes the sheets of a study.

The table repeats a patient's expression and survival on each of its slides; ``censorship`` is 1 where the patient is
censored, so it is not an event flag. ``python -m histocarta.luad_table --data <folder> --output data/tcga-luad-table``
writes slides.tsv, expression.tsv (traits × patients), clinical.tsv (months, censorship, age, is_female), traits.tsv,
and copies the gene sets that lie in genesets/ there.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from histocarta.errors import InputError
from histocarta.files import write_table
from histocarta.gene_sets import copy_sets
from histocarta.progress import progress
from histocarta.sheets import TRAIT_NAME

TABLE = Path("tcga_luad") / "tcga_luad_all_clean.csv.zip"
TRAITS = ("KRAS", "EGFR", "CD274")
SUFFIX = "_rnaseq"  # beside it the table has _cnv and _mut columns
CLINICAL = ("survival_months", "censorship", "age", "is_female")


def prepare_study(
    *,
    data: str | Path,
    output: str | Path,
    slides_folder: str = "data/tcga-luad/slides",
    traits: Sequence[str] = TRAITS,
) -> None:
    """Write the four sheets below ``output`` from the folder that holds ``tcga_luad/``.

    ``slides_folder`` is where the slides would lie, were they downloaded; it is written into slides.tsv and not looked
    at. Every measured gene goes into expression.tsv, ``traits`` into traits.tsv. Raises InputError where the table or
    a column is missing, and where a patient's rows disagree.
    """
    path, output = Path(data) / TABLE, Path(output)
    table = read_table(path)
    genes = [name for name in table.columns if name.endswith(SUFFIX)]
    absent = [trait for trait in traits if trait + SUFFIX not in genes]
    if absent:
        wanted = ", ".join(trait + SUFFIX for trait in absent)
        raise InputError(f"Expected the column(s) {wanted} in {path}, found {len(genes)} others with {SUFFIX}")
    patients = one_row_per_patient(table, [*genes, *CLINICAL], path=path)
    expression = patients[genes].T
    expression.index = pd.Index([name.removesuffix(SUFFIX) for name in genes], name="trait")
    slides = pd.DataFrame(
        {
            "slide": table["slide_id"].str.removesuffix(".svs"),
            "patient": table["case_id"],
            "file": slides_folder + "/" + table["slide_id"],
        }
    )
    sheets = {
        "slides.tsv": slides,
        "expression.tsv": expression.reset_index(),
        "clinical.tsv": patients[list(CLINICAL)].rename_axis("patient").reset_index(),
        "traits.tsv": pd.DataFrame({"trait": list(traits)}),
    }
    for name, sheet in progress(sheets.items(), total=len(sheets), what="sheets written"):
        write_table(sheet, output / name)
    copy_sets(Path(data), output)


def read_table(path: Path) -> pd.DataFrame:
    """The MCAT table with the columns that the sheets need; values stay as they are written."""
    if not path.is_file():
        raise InputError(f"Expected {path}, found no such file; give the folder that holds tcga_luad/ as --data")
    header = pd.read_csv(path, nrows=0).columns
    needed = ["case_id", "slide_id", *CLINICAL]
    absent = [name for name in needed if name not in header]
    if absent:
        raise InputError(f"Expected the column(s) {', '.join(absent)} in {path}, found {', '.join(header[:15])} …")
    genes = [name for name in header if name.endswith(SUFFIX) and TRAIT_NAME.fullmatch(name.removesuffix(SUFFIX))]
    return pd.read_csv(path, usecols=[*needed, *genes])


def one_row_per_patient(table: pd.DataFrame, columns: Sequence[str], *, path: Path) -> pd.DataFrame:
    """``columns`` by patient (index, sorted); InputError where the rows of one patient differ."""
    distinct = table[["case_id", *columns]].drop_duplicates()
    repeated = distinct["case_id"][distinct["case_id"].duplicated()].unique()
    if len(repeated):
        patient = repeated[0]
        rows = distinct[distinct["case_id"] == patient]
        differing = [name for name in columns if rows[name].nunique(dropna=False) > 1]
        raise InputError(
            f"Expected the same values on all rows of a patient in {path}, found {patient} with different "
            f"{', '.join(differing[:3])} ({len(repeated)} such patients); correct the table"
        )
    return distinct.set_index("case_id").sort_index()


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of the study's preparation."""
    parser = argparse.ArgumentParser(description="Make a study's sheets from the TCGA-LUAD table of MCAT.")
    parser.add_argument("--data", required=True, help="folder that holds tcga_luad/")
    parser.add_argument("--output", required=True, help="folder of the study, for example data/tcga-luad-table")
    parser.add_argument("--slides", default="data/tcga-luad/slides", help="folder of the slides, if downloaded")
    given = parser.parse_args(arguments)
    prepare_study(data=given.data, output=given.output, slides_folder=given.slides)


if __name__ == "__main__":
    main()
