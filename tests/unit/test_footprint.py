"""What jobs ask for is above what they were seen to take, and not by much."""

import pytest
from histocarta.footprint import scoring_mb, training_mb

# Highest resident memory of jobs, MB (Inception v3, float32, CPU).
TRAINED = [((75, 32), 2543), ((299, 8), 2423), ((299, 16), 3167), ((512, 4), 2808)]


@pytest.mark.parametrize(("batch", "seen"), TRAINED)
def test_training_asks_for_more_than_it_takes_but_not_twice(batch, seen):
    size, number = batch
    assert seen < training_mb(size=size, batch=number) < 2.1 * seen


def test_scoring_asks_for_more_than_it_takes():
    assert 1478 < scoring_mb(size=75, batch=32) < 2 * 1478
    assert scoring_mb(size=512, batch=64) > scoring_mb(size=512, batch=32)


@pytest.mark.parametrize(
    ("network", "batch", "seen"),
    [("densenet-121", 8, 2924), ("densenet-121", 24, 6094), ("resnet-50", 8, 2464), ("vgg-16", 8, 1876),
     ("efficientnet-v2-b0", 8, 2093), ("mobilenet-v2", 8, 1798)],
)  # fmt: skip
def test_other_networks_ask_for_what_they_were_seen_to_take_at_224_px(network, batch, seen):
    assert 1.3 * seen < training_mb(size=224, batch=batch, network=network) < 2.6 * seen
