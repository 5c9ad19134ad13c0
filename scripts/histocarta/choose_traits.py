"""Which traits of a gene panel vary most over a cohort: how Levy-Jurgenson 2020 chose breast cancer genes from PAM50.

``python -m histocarta.choose_traits --configfile config/mine.yaml --panel config/panels/pam50.txt --highest 10`` writes
the sheet that the study's task names as its ``traits``. It is a command and no rule, because the traits decide which
jobs there are: they must be known before Snakemake plans, and every job plans again.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import pandas as pd
import pyarrow.parquet as parquet

from histocarta.cohort import prepare_cohort
from histocarta.config import Study, read_study_file
from histocarta.errors import InputError, nearest
from histocarta.expression import find_trait
from histocarta.files import write_table
from histocarta.sheets import read_traits
from histocarta.tables import header_and_delimiter

COLUMNS = ("trait", "variance")
Member = TypeVar("Member")


def choose_for_study(
    study: Study, *, panel: Sequence[str], highest: int, task: str | None = None, cohort: str | None = None
) -> Path:
    """Choose the traits of a study's ``task`` over its ``cohort``; neither needs a name where there is only one.

    The cohort's own rules (aliquots, sample types, duplicates) say which expression values count. Returns the sheet.
    """
    task, settings = _member(study.tasks, task, what="task")
    _, tables = _member(study.cohorts, cohort, what="cohort")
    if not isinstance(settings.traits, str):
        raise InputError(
            f"Expected a sheet to write at tasks.{task}.traits, found a list; write a path there, such as "
            f"data/{study.study}/traits.tsv."
        )
    _refuse_to_overwrite(Path(settings.traits))
    with TemporaryDirectory() as folder:
        names = {"slides": "s.tsv", "expression": "e.parquet", "clinical": "c.parquet", "exclusions": "x.tsv"}
        sheets = {name: str(Path(folder) / file) for name, file in names.items()}
        prepare_cohort(**sheets, **tables.preparation())
        choose_traits(expression=sheets["expression"], output=settings.traits, panel=panel, highest=highest)
    return Path(settings.traits)


def choose_traits(*, expression: str, output: str | Path, panel: Sequence[str], highest: int) -> None:
    """Write the ``highest`` traits of a panel by variance over the cohort's samples, largest first, as a trait sheet.

    ``expression``: sheets/expression.parquet. The variance is that of the population (ddof 0) on the table's own scale,
    as np.var in the released code; of equal traits the panel's first comes first. Genes that the table lacks are named
    on stderr; a symbol that stands for several of its ids is an InputError, since only the user can say which is meant.
    """
    names = [name for name in parquet.read_schema(expression).names if name != "sample"]
    columns = _columns(panel, names)
    values = pd.read_parquet(expression, columns=list(columns.values()))[list(columns.values())]
    variance = values.var(ddof=0).set_axis(list(columns)).dropna()
    if len(variance) < highest:
        raise InputError(
            f"Expected at least {highest} of the panel's {len(panel)} genes with values, found {len(variance)}; ask "
            "for fewer, or compare the panel's names with the expression table's."
        )
    chosen = variance.sort_values(ascending=False, kind="stable").head(highest)
    write_table(chosen.rename("variance").rename_axis("trait").reset_index(), output)


def _columns(panel: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    """The table's name of each gene of the panel that it has."""
    ids, columns, lost = Counter(name.split("|")[0] for name in names), {}, []
    for trait in panel:
        try:
            columns[trait] = find_trait(trait, names=names, table="the cohort's expression")
        except InputError:
            if ids[trait] > 1:
                raise
            lost.append(trait)
    if lost:
        print(
            f"left out, not in the cohort's expression: {', '.join(lost)} ({len(lost)} of {len(panel)})",
            file=sys.stderr,
        )
    return columns


def _member(section: dict[str, Member], name: str | None, *, what: str) -> tuple[str, Member]:
    """The member of a study's section that is meant: the one named, else the only one."""
    if name is None and len(section) == 1:
        return next(iter(section.items()))
    if name not in section:
        found = "none named" if name is None else repr(name) + nearest(name, section)
        raise InputError(f"Expected the name of a {what} ({', '.join(section)}), found {found}; give it as --{what}.")
    return name, section[name]


def _refuse_to_overwrite(path: Path) -> None:
    """A sheet of a former choice may be replaced, one that somebody wrote by hand may not."""
    if path.exists() and tuple(header_and_delimiter(path)[0]) != COLUMNS:
        raise InputError(
            f"Expected no file, or the sheet of a former choice ({', '.join(COLUMNS)}), found another table in {path}; "
            "move it, or name another path as the task's traits."
        )


def _at_least_one(text: str) -> int:
    if not (text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"expected a whole number above 0, found {text!r}")
    return int(text)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of the choice."""
    parser = argparse.ArgumentParser(description="Choose a task's traits from a panel by their variance in a cohort.")
    parser.add_argument("--configfile", required=True, help="the study; its task names the sheet to write as traits")
    parser.add_argument("--panel", required=True, help="genes to choose from, for example config/panels/pam50.txt")
    parser.add_argument("--highest", required=True, type=_at_least_one, help="how many, by variance")
    parser.add_argument("--task", help="needed where the study has several")
    parser.add_argument("--cohort", help="needed where the study has several")
    given = parser.parse_args(arguments)
    try:
        panel, study = read_traits(given.panel), read_study_file(given.configfile)
        sheet = choose_for_study(study, panel=panel, highest=given.highest, task=given.task, cohort=given.cohort)
    except InputError as error:
        parser.error(str(error))
    print(f"{sheet}: {', '.join(read_traits(sheet))}")


if __name__ == "__main__":
    main()
