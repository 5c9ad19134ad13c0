"""What traits and baselines of genes in spots are called: known without loading anything that works on them."""

BASELINE_NAMES = ("nuclei", "colour", "annotation", "composition", "depth")
SHUFFLED = "-shuffled"  # a trait of this ending learns from spots whose values changed places within their section


def is_control(trait: str) -> bool:
    """Whether a trait learns from values that changed places."""
    return trait.endswith(SHUFFLED)
