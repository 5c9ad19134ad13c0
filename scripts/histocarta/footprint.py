"""How much memory a job that trains or scores takes, from how many pixels its network sees at once."""

import math

# Seen of Inception v3 in float32 on a CPU (resident, highest): training 1.9 GB at 75 px x 32, 2.4 and 3.2 GB at
# 299 px x 8 and x 16, 2.8 GB at 512 px x 4, and 0.6 GB more for the best weights and a checkpoint under way; scoring
# 1.5 GB at 75 px x 32. The figures here are a third above.
TRAINING = (3500, 1.5e-3)  # MB of a job whatever it sees, and MB per pixel of a batch
# MB per pixel of a batch of networks that keep more of it for their gradients, a third above what was seen at 224 px:
# DenseNet-121 2.9 GB x 8 and 6.1 GB x 24; ResNet-50 2.5, EfficientNetV2-B0 2.1, VGG-16 1.9 and MobileNetV2 1.8 GB x 8.
KEPT = {"densenet-121": 5.3e-3, "resnet-50": 4.2e-3, "efficientnet-v2-b0": 3.0e-3, "vgg-16": 2.4e-3,
        "mobilenet-v2": 2.1e-3}  # fmt: skip
SCORING = (2000, 0.7e-3)
# MB of one more Inception v3 in a job that trains many (weights, Adam's two moments and the best weights: 4 x 87) or
# scores by many, and of the tiles that are held decoded (gene_jobs.PIECE_BYTES, three times, and KEPT_BYTES).
TRAINED, SCORED, HELD = 350, 90, 2900


def training_mb(*, size: int, batch: int, network: str = "inception-v3") -> int:
    """MB of a job that trains a ``network`` on batches of ``batch`` tiles of ``size`` px."""
    return _megabytes((TRAINING[0], KEPT.get(network, TRAINING[1])), size=size, batch=batch)


def together_mb(*, size: int, batch: int, models: int) -> int:
    """MB of a job that trains ``models`` networks in turns."""
    return training_mb(size=size, batch=batch) + HELD + TRAINED * models


def scoring_mb(*, size: int, batch: int, models: int = 0) -> int:
    """MB of a job that scores batches of ``batch`` tiles of ``size`` px, by ``models`` networks more than a few."""
    return _megabytes(SCORING, size=size, batch=batch) + SCORED * models


def _megabytes(law: tuple[float, float], *, size: int, batch: int) -> int:
    """Rounded up to 100: a figure that looks exact would be read as exact."""
    fixed, per_pixel = law
    return 100 * math.ceil((fixed + per_pixel * batch * size * size) / 100)
