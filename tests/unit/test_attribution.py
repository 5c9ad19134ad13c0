"""Integrated gradients add up to what they explain: exactly for a linear model, with more steps for a network."""

import keras
import numpy as np
import pandas as pd
import pytest
from histocarta import models as networks
from histocarta.attribution import integrated_gradients, pixels_model
from histocarta.backends import BACKENDS, backend_in_use
from histocarta.spot_attribution import EACH, attribution_figure, ends_of
from histocarta.tasks import TASKS

SIZE = 32


def tiles(n=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, SIZE, SIZE, 3), dtype=np.uint8)


def linear():
    images = keras.Input((SIZE, SIZE, 3), dtype="uint8")
    pixels = keras.layers.Rescaling(1 / 255, name=networks.SCALE)(images)
    return keras.Model(images, keras.layers.Dense(2, name=networks.HEAD)(keras.layers.Flatten()(pixels)))


@pytest.fixture(scope="module")
def tiny():
    """A network whose weights are large enough that its output is no line between the window and the baseline."""
    model = networks.build_model(
        TASKS["regression"], network="tiny", size=SIZE, pooling="avg", batch_norm_momentum=0.9, normalise="training"
    )
    networks.initialise(model, seed=1)
    rng = np.random.default_rng(1)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            layer.set_weights([rng.normal(scale=0.5, size=weight.shape) for weight in layer.get_weights()])
    return model


def test_a_linear_models_attributions_are_its_weights_times_the_way_from_the_baseline():
    model, pictures = linear(), tiles()
    found = integrated_gradients(model, pictures, output=1, steps=3)
    weight = model.get_layer(networks.HEAD).get_weights()[0][:, 1].reshape(SIZE, SIZE, 3)
    expected = weight * (pictures / 255 - 1)
    np.testing.assert_allclose(found.values, expected, atol=1e-5)
    np.testing.assert_allclose(found.error, 0, atol=1e-3)
    black = integrated_gradients(model, pictures, output=1, steps=3, baseline=0.0)
    np.testing.assert_allclose(black.values, weight * pictures / 255, atol=1e-5)


def test_attributions_of_a_network_add_up_and_the_better_with_more_steps(tiny):
    pictures = tiles()
    few, many = (integrated_gradients(tiny, pictures, steps=steps) for steps in (4, 256))
    change = np.abs(many.output - many.baseline)
    assert (change > 0.01).all()
    assert (np.abs(many.error) < 0.01 * change).all()
    assert np.abs(many.error).max() < np.abs(few.error).max()
    np.testing.assert_allclose(many.output, tiny.predict(pictures, verbose=0)[:, 0], rtol=1e-4, atol=1e-5)


def test_a_white_window_has_nothing_to_explain(tiny):
    found = integrated_gradients(tiny, np.full((1, SIZE, SIZE, 3), 255, np.uint8), steps=4)
    assert not found.values.any() and found.output[0] == pytest.approx(found.baseline)


def test_the_gradient_is_that_of_finite_differences(tiny):
    inner = pixels_model(tiny)
    gradient = backend_in_use().gradient(inner, 0)
    pixels = tiles(1).astype(np.float32) / 255
    _, found = gradient(pixels)
    place = np.unravel_index(np.abs(found[0]).argmax(), found[0].shape)
    step = np.zeros_like(pixels)
    step[(0, *place)] = 1e-3
    slope = (gradient(pixels + step)[0] - gradient(pixels - step)[0]) / 2e-3
    assert slope[0] == pytest.approx(found[(0, *place)], rel=0.05)
    assert all(backend.gradient for backend in BACKENDS.values())


def test_the_ends_are_apart_and_the_highest_comes_first():
    known = pd.DataFrame({"slide": "s", "row": range(20), "col": 0, "predicted": np.arange(20.0)})
    found = ends_of(known)
    assert found["predicted"].tolist() == [19, 18, 17, 16, 0, 1, 2, 3] and len(found) == 2 * EACH
    assert ends_of(known.head(3))["kind"].tolist() == ["high", "low"] and ends_of(known.head(1)).empty
    assert attribution_figure(pd.DataFrame(), tiles=np.zeros(0), maps=np.zeros(0), gene="G").texts
