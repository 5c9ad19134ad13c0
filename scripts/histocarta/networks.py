"""How small a tile each network can look at: known without loading Keras, so that a study is checked at once."""

SMALLEST_TILE = {"inception-v3": 75, "densenet-121": 32, "tiny": 8}
"""Side in pixels, by network: below it a layer of keras.applications' network has nothing left to look at."""
