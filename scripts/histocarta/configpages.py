"""How the typed configuration becomes pages for its users: the JSON schema and the list of keys."""

import json
from pathlib import Path
from typing import Any

from histocarta import codes, fidelity
from histocarta.files import replacing
from histocarta.settings import Study

PREFACE = """\
# The configuration of a study

One YAML file per study: `snakemake --profile profiles/local --configfile config/<study>.yaml`. Unknown keys, wrong
types and names that point nowhere stop the run before it starts, all of them in one message. Paths are relative to
the folder that the run is started in. This page is written by `python -m histocarta.config` from the types in
`scripts/histocarta/settings.py`; `study.schema.json` beside it serves editors.

| file | study |
| --- | --- |
| `levy-jurgenson-2020-brca.yaml` | TCGA-BRCA with the settings of Levy-Jurgenson et al. 2020 |
| `levy-jurgenson-2020-luad.yaml` | TCGA-LUAD with the settings of the same paper |
| `wang-2021.yaml` | breast cancer's transcriptome with the settings of Wang et al. 2021 and an external cohort |
| `demo.yaml` | 80 synthetic patients with planted truth, in minutes (`make demo`) |
| `recovery.yaml` | five larger synthetic cohorts, whose truth must be found again (`make recovery`) |
| `her2st.yaml` | five real breast sections of two patients as virtual cores, split by blocks (`make her2st`) |
| `her2st-leave-one-patient-out.yaml` | the same cores, each patient scored by the other's model (`make her2st`) |
| `her2st-transcriptome.yaml` | their genes by the three ways of `regression` (`make her2st-transcriptome`) |
| `her2st-regions.yaml` | their genes on tiles that a classifier calls carcinoma (`make her2st-regions`) |
| `her2st-maps.yaml` | their genes mapped by models of bulk and of spots, beside what is measured (`make her2st-maps`) |
| `demo-spots.yaml` | six synthetic patients with a spatially measured section each (`make demo`) |
| `her2st-spots.yaml` | genes in the spots of the sections, a patient by the other's model (`make her2st-spots`) |
| `he-2020.yaml` | breast cancer sections with the settings of He et al. 2020 |
| `her2st-small.yaml` | two of the sections, fewer traits and steps (`make her2st-small`) |
| `tcga-luad-table.yaml` | 453 real LUAD patients without slides: survival, gene sets (`make tcga-luad-table`) |
| `panels/*.txt` | Oncotype DX, EndoPredict and the 11 proliferation genes of PAM50, for `panels` |
| `panels/pam50.txt` | the PAM50 genes, from which Levy-Jurgenson et al. chose breast cancer genes by variance |

## The sheets

Text tables: tabs (or commas in a .csv), UTF-8, plain or gzip; lines that begin with `#` above the header are skipped.

**Slides** (`slides`): `slide` and `patient` (letters, digits, `. _ -`), `file`; optional `mpp` (um per pixel); `x`,
`y`, `width`, `height`, or `region` as `x,y,width,height` (in level-0 pixels: a TMA core, a region of interest); `block`
(the unit of a split by blocks); `batch` (laboratory or platform, for `labels.reference_batch`); `priority` (with
`one_slide`, the patient's slide with the highest is used: a date, or 1 for the block that was stained for the clinic;
of equal ones that with the most tiles); `exclude` (yes or no, or the reason) and `reason`. In optional columns `NA` and
the like are blanks. Other columns may stay: they are named in the ledger and not used, but a name that is nearly a
known one (`mmp`) is refused. TCGA slides may come from a GDC manifest instead (`gdc_manifest`).

**Expression** (`expression`): traits by samples or samples by traits, named in the first column and the header.
Traits may be `SYMBOL` or `SYMBOL|ENTREZ`. Samples are patients' ids or TCGA barcodes, of which one aliquot per
patient is chosen: first vial, then analyte H over R over T, then the highest plate, then the highest portion. Gene
names that Excel made into dates are left out and named, never guessed. The declared `scale` is held against the values:

| scale | refused | noted in the ledger (B-SCALE) |
| --- | --- | --- |
| `raw` | more than 1 % of values negative (batch-corrected tables have some) | any negative value; none above 25 |
| `log2` | a value above 64 | a value above 25; only whole numbers; centred on 0 with a fifth of values negative |
| `zscore` | fewer than 1 % of values negative; a typical trait's mean over 3 sd from 0 | that mean over 1 sd from 0 |

A trait that no table has, listed or asked for by its path, is left out as B-NOTRAIT with the nearest names; the other
traits, the table and the report go on.

**Clinical** (`clinical`): `patient`, `time` and `event` (`1:DECEASED`, `DECEASED`, `Dead`, yes, 1 …) or `censorship`
(`censored`, yes, 1: no event; `uncensored`, `event`, no, 0: an event); cBioPortal's and GDC's own column names are
known. Every other column is a covariate. Patients without a time, with a negative one or without a status are left
out of the survival analysis and named.

**Annotations** (`annotations`, for the task `regions`): `slide` and `file`, a GeoJSON per slide as QuPath exports it:
Polygons and MultiPolygons in level-0 px, each with a class (`properties.classification.name`); or spots, one per line:
`slide`, `x_px`, `y_px` (level-0 px) and `class`. Not every slide needs to be annotated. A tile is of the class that
covers at least half of it, or of half of its spots.

**Sections** (`sections`, for the task `spots`): `slide`, `counts` and `spots`, one line per spatially measured slide:
raw counts (spots `XxY` by genes) with a table of places (`x`, `y`, `pixel_x`, `pixel_y`), as Spatial Transcriptomics
was; or as `counts` alone the folder that Space Ranger calls outs (Visium), an AnnData (`.h5ad`) or SpatialData
(`.zarr`; it needs the extra `histocarta[spatialdata]`) file. Optional: `lattice` (square or hexagonal), `pitch_um`,
`diameter_um`, and `annotation`, a column of the spots or a table of spot and class. Places are pixels of level 0 of the
slide. Spots that lie beside the tissue, or that another turn of the image would put on it, leave their slide out
(S-OFF, S-SWAPPED), and so does a pitch that the slide's resolution contradicts (S-SCALE); `section/registration.png`
shows what was found.

**Traits** (`traits` of a task): the column `trait`, or one name per line. Or chosen by variance within a panel, as
Levy-Jurgenson et al. chose their breast cancer genes from PAM50: name the sheet in the study, then let it be written,
before the run and again whenever the expression changes:

```sh
python -m histocarta.choose_traits --configfile config/mine.yaml --panel config/panels/pam50.txt --highest 10
```

The variance is that of the population (ddof 0) over the samples that the study's cohort keeps, on the tables' own
scale; genes that the tables lack are named. A sheet written by hand is not overwritten.
"""


def schema() -> str:
    """The JSON schema of a study."""
    return json.dumps(Study.model_json_schema(), indent=2, ensure_ascii=False) + "\n"


def page() -> str:
    """The list of keys, section by section, the fidelity table and the codes of the ledger, as Markdown."""
    whole = Study.model_json_schema()
    sections = {"Study": whole, **whole["$defs"]}
    order = ["Study", "Cohort", "ExpressionTable", "RoiValues", "Layout", "Tasks", "Regions", "Extremes", "Labels",
             "Vote", "Regression", "Values", "Selection", "Transcriptome", "Spots", "SpotValues", "Colocation", "Model",
             "Training", "Scheme", "Heterogeneity", "Survival", "Contrast", "Downloads"]  # fmt: skip
    parts = [PREFACE, "## The keys\n", *(_section(name, sections[name], places=_places(sections)) for name in order)]
    return "\n".join([*parts, _fidelity_table(), _codes()])


def write_pages(folder: str | Path) -> None:
    """Write ``study.schema.json`` and ``README.md`` into the folder of the configurations."""
    for name, text in (("study.schema.json", schema()), ("README.md", page())):
        with replacing(Path(folder) / name) as temporary:
            temporary.write_text(text, encoding="utf-8")


def _places(sections: dict[str, dict[str, Any]]) -> dict[str, list[str]]:
    """Where each section stands in the file, found by following the references from the top."""
    places, queue = {"Study": [""]}, ["Study"]
    while queue:
        name = queue.pop(0)
        for key, spec in sections[name]["properties"].items():
            text = json.dumps(spec)
            inner = next((other for other in sections if f'"#/$defs/{other}"' in text), None)
            if inner:
                member = ".<name>" if "additionalProperties" in spec or "patternProperties" in spec else ""
                here = [".".join(filter(None, [place, key + member])) for place in places[name]]
                places[inner] = list(dict.fromkeys([*places.get(inner, []), *here]))
                queue.append(inner)
    return places


def _section(name: str, spec: dict[str, Any], *, places: dict[str, list[str]]) -> str:
    rows = [
        f"| `{key}` | {_kind(field)} | {_default(key, field, spec)} | {field.get('description', '')} |"
        for key, field in spec["properties"].items()
    ]
    title = f"### {', '.join(f'`{place}`' for place in places[name])}" if name != "Study" else "### Top level"
    head = ["| key | values | default | meaning |", "| --- | --- | --- | --- |"]
    return "\n".join([title, "", spec["description"], "", *head, *rows, ""])


def _kind(spec: dict[str, Any]) -> str:
    """What a key may hold, in words."""
    if "anyOf" in spec:
        return " or ".join(_kind(option) for option in spec["anyOf"])
    if "$ref" in spec or "allOf" in spec:
        return "section"
    if "const" in spec or "enum" in spec:
        return ", ".join(f"`{value}`" for value in spec.get("enum", [spec.get("const")]))
    kind = spec.get("type")
    if kind == "array":
        return f"list of {_kind(spec['items'])}"
    if kind == "object":
        return "mapping"
    words = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true, false", "null": "null"}
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = [f"{sign} {spec[bound]:g}" for bound, sign in signs.items() if bound in spec]
    return " ".join([words[kind], ", ".join(limits)]).strip()


def _default(key: str, field: dict[str, Any], spec: dict[str, Any]) -> str:
    if key in spec.get("required", []):
        return "required"
    default = field.get("default")
    return "see below" if isinstance(default, dict) and default else f"`{json.dumps(default)}`"


def _fidelity_table() -> str:
    rows = [
        f"| `{row.name}` | {row.paper} | {row.released} | {row.corrected} | {row.what} | {row.source} |"
        for row in fidelity.TABLE.values()
    ]
    faults = [f"- **{name}**: {what}" for name, what in fidelity.NOT_REPRODUCED.items()]
    return "\n".join(
        [
            "## The fidelity table",
            "",
            "`fidelity` picks a column; `fidelity_overrides` maps a row to another column or to one of its values.",
            "",
            "| row | paper | released | corrected | meaning | source |",
            "| --- | --- | --- | --- | --- | --- |",
            *rows,
            "",
            "Plain faults of the released code, which no column reproduces:",
            "",
            *faults,
            "",
        ]
    )


def _codes() -> str:
    tables = [
        ("Why something is left out, or wants a look (`ledger.tsv`, column `code`):", codes.LEDGER),
        ("What stops a job, or stands in its log:", codes.MESSAGES),
    ]
    parts = ["## The codes", ""]
    for head, words in tables:
        parts += [head, "", "| code | meaning |", "| --- | --- |"]
        parts += [f"| `{code}` | {meaning} |" for code, meaning in words.items()] + [""]
    return "\n".join(parts)
