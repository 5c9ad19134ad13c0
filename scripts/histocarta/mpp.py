"""What a resolution can be, in microns per level-0 pixel: one range for sheets, configurations and files."""

MPP_RANGE = (0.1, 2.0)  # um/px; a level 0 outside it is a mistaken tag (72 dpi reads as 353), not a microscope
MPP_WORDS = f"{MPP_RANGE[0]:g}-{MPP_RANGE[1]:g} um/px"


def is_mpp(value: float) -> bool:
    """Whether a number of microns per level-0 pixel can be true."""
    return MPP_RANGE[0] <= value <= MPP_RANGE[1]
