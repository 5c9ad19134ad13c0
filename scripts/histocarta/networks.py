"""How small a tile each network can look at: known without loading Keras, so that a study is checked at once."""

SMALLEST_TILE = {
    "inception-v3": 75, "densenet-121": 32, "resnet-50": 32, "vgg-16": 32, "efficientnet-v2-b0": 32, "mobilenet-v2": 32,
    "tiny": 8,
}  # fmt: skip
"""Side in pixels, by network: below it a layer of keras.applications' network has nothing left to look at."""
