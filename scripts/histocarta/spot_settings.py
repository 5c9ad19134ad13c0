"""What a study's configuration may say of expression predicted in spots: which genes, on which scale."""

import re
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from histocarta.fit_settings import Task
from histocarta.kinds import LayoutName, Section, TraitName, TraitSet
from histocarta.spot_names import SHUFFLED

TOP = re.compile(r"top-([1-9][0-9]*)")


class SpotValues(Section):
    """How counts become what is predicted."""

    normalisation: Literal["published", "cpm", "size_factor"] = Field(
        "published",
        description="published: ln((1 + c) / (n + total)) of n genes; cpm: ln(1 + 10^6 c / total); size_factor: "
        "ln(1 + c m / total), m the median total of its slide",
    )
    left_out: list[str] = Field(
        ["__"],
        description="beginnings of names of genes that are never predicted (__ambiguous[…] of the ST pipeline)",
    )


class Colocation(Section):
    """Two sets of genes that are asked whether they lie in the same spots."""

    name: TraitName = Field(description="name of the pair")
    first: Annotated[list[TraitName], Field(min_length=1)] = Field(description="genes of one set")
    second: Annotated[list[TraitName], Field(min_length=1)] = Field(description="genes of the other")


class Spots(Task):
    """Expression of many genes predicted in the spots of spatial transcriptomics (He et al. 2020, ST-Net)."""

    traits: Annotated[TraitSet, Field(min_length=1)] = Field(
        ["top-250"],
        description="sets of genes with a model each: top-<n> (of the highest mean count), a set of `genes`, or one "
        "gene; with the ending -shuffled: learnt from values that changed places within their section, for control",
    )
    genes: dict[TraitName, Annotated[list[TraitName], Field(min_length=1)]] = Field(
        {}, description="sets of genes by name"
    )
    labels: SpotValues = Field(SpotValues(), description="what is predicted")
    permutations: int = Field(1000, ge=1, description="arrangements of the spots that make the null curve")
    baselines: list[Literal["nuclei", "colour", "annotation", "composition", "depth"]] = Field(
        ["nuclei", "colour", "depth"],
        min_length=1,
        description="what the network is held against: a forest on nuclei; colour alone; the annotation's means; "
        "factors of expression; sequencing depth alone",
    )
    slides_layout: LayoutName | None = Field(
        None,
        description="layout (a grid of the same size, mpp and stain) in which whole slides of external cohorts are "
        "scored, to be held against their bulk expression",
    )
    subtypes: Annotated[list[str], Field(max_length=2)] = Field(
        [],
        description="two values of the study's `subtype` column that predicted genes shall tell apart in external "
        "cohorts with bulk expression and a clinical sheet",
    )
    attributions: list[TraitName] = Field(
        [], description="genes whose predictions are attributed to pixels by integrated gradients"
    )
    nuclei: bool = Field(False, description="hold genes against the size, shape, colour and number of nuclei")
    latent: bool = Field(
        False, description="chart what the network sees in the spots of patients left out (UMAP, clusters, neighbours)"
    )
    colocation: list[Colocation] = Field(
        [], description="pairs of gene sets, held against chance as measured and as predicted"
    )
    classes: dict[str, Annotated[list[str], Field(min_length=1)]] = Field(
        {}, description="by name, annotated classes in whose spots genes are evaluated by themselves (tumour, normal)"
    )

    @model_validator(mode="after")
    def _named_apart(self) -> "Spots":
        if odd := [name for name in self.genes if TOP.fullmatch(name) or name.endswith(SHUFFLED)]:
            raise ValueError(f"sets with names other than top-<n> and …{SHUFFLED}, not {', '.join(odd)}")
        return self

    def choice(self, trait: str) -> dict[str, Any]:
        """Which genes a trait stands for: the number of the highest, or their names."""
        name = trait.removesuffix(SHUFFLED)
        top = TOP.fullmatch(name)
        named = None if top else self.genes.get(name, [name])
        return {"top": int(top[1]) if top else None, "genes": named, "shuffled": name != trait}

    def tables(self) -> list[str]:
        return ["spots"]
