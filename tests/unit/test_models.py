"""Networks: architecture, start from a seed, files."""

import hashlib
import json
import zipfile

import keras
import numpy as np
import pytest
from histocarta import models
from histocarta.errors import InputError
from histocarta.tasks import TASKS
from learning_kit import MODEL, read_member

EXTREMES = TASKS["extremes"]
TINY = {key: value for key, value in MODEL.items() if not key.startswith("weights")} | {"pooling": "avg"}


@pytest.fixture(scope="module")
def inception():
    return models.build_model(EXTREMES, **TINY | {"network": "inception-v3", "size": 75, "batch_norm_momentum": 0.8})


@pytest.fixture
def tiny():
    model = models.build_model(EXTREMES, **TINY)
    models.initialise(model, seed=3)
    return model


@pytest.fixture(scope="module")
def tiles():
    return np.random.default_rng(0).integers(0, 256, (9, 16, 16, 3), dtype=np.uint8)


def test_inception_v3_has_the_published_size_and_one_sigmoid(inception):
    """keras.io/api/applications: 21,802,784 parameters without top; one unit on 2,048 features adds 2,049."""
    assert inception.count_params() == 21_802_784 + 2_049
    assert inception.output_shape == (None, 1)
    assert inception.get_layer(models.HEAD).activation is keras.activations.sigmoid
    assert inception.inputs[0].dtype == "uint8"


def test_batch_norm_momentum_reaches_every_layer_and_the_saved_config(inception):
    norms = [layer for layer in inception.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert len(norms) == 94  # convolutions of Inception v3, each with its own
    assert {layer.get_config()["momentum"] for layer in norms} == {0.8}


def test_kernels_start_as_glorot_and_bengio_say(inception):
    """Glorot & Bengio 2010, eq. 16: uniform within sqrt(6 / (fan in + fan out)), so variance 2 / (fan in + fan out)."""
    models.initialise(inception, seed=5)
    kernel = max(
        (w for layer in inception.layers for w in layer.weights if w.name == "kernel"), key=lambda w: np.prod(w.shape)
    )
    height, width, depth, filters = kernel.shape
    fans = height * width * (depth + filters)
    values = kernel.numpy()
    assert np.abs(values).max() <= np.sqrt(6 / fans) * (1 + 1e-6)
    assert values.var() == pytest.approx(2 / fans, rel=0.01)
    variances = [w for layer in inception.layers for w in layer.weights if w.name == "moving_variance"]
    assert all((w.numpy() == 1).all() for w in variances)


def test_a_seed_gives_one_start_and_layers_of_equal_shape_differ(inception):
    def start(seed):
        models.initialise(inception, seed=seed)
        return inception.get_weights()

    first, again, other = start(5), start(5), start(6)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    kernels = [n for n, w in enumerate(inception.weights) if w.name == "kernel"]
    assert not any(np.array_equal(first[n], other[n]) for n in kernels)
    assert len({first[n].tobytes() for n in kernels}) == len(kernels)


def test_initialising_undoes_training(tiny, tiles):
    before = tiny.get_weights()
    tiny.compile(optimizer="adam", loss="binary_crossentropy")
    tiny.train_on_batch(tiles, np.ones((9, 1), np.float32))
    assert not np.array_equal(before[0], tiny.get_weights()[0])
    models.initialise(tiny, seed=3)
    assert all(np.array_equal(a, b) for a, b in zip(before, tiny.get_weights(), strict=True))


def test_batch_norm_averages_move_by_one_minus_momentum(tiny, tiles):
    """Keras: moving = momentum * moving + (1 - momentum) * batch; here from 0, with momentum .5."""
    kernel = tiny.layers[2].get_weights()[0]
    convolved = keras.ops.conv(tiles.astype(np.float32) / 255, kernel, strides=2, padding="same")
    tiny.compile(optimizer=keras.optimizers.SGD(0.0), loss="binary_crossentropy")
    tiny.train_on_batch(tiles, np.ones((9, 1), np.float32))
    norm = next(layer for layer in tiny.layers if isinstance(layer, keras.layers.BatchNormalization))
    expected = 0.5 * keras.ops.convert_to_numpy(convolved).mean(axis=(0, 1, 2))
    np.testing.assert_allclose(norm.moving_mean.numpy(), expected, rtol=1e-4, atol=1e-6)


def test_pixels_are_scaled_to_one_inside_the_model(tiny, tiles):
    scaled = keras.Model(tiny.input, tiny.get_layer(models.SCALE).output)(tiles)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(scaled), tiles / 255, atol=1e-6)


@pytest.mark.parametrize(("pooling", "reduce"), [("avg", np.mean), ("max", np.max)])
def test_pooling_follows_its_name(pooling, reduce, tiles):
    model = models.build_model(EXTREMES, **TINY | {"pooling": pooling})
    ends = keras.Model(model.input, [model.get_layer(models.POOL).input, model.get_layer(models.POOL).output])
    before, after = (keras.ops.convert_to_numpy(value) for value in ends(tiles))
    np.testing.assert_allclose(after, reduce(before, axis=(1, 2)), rtol=1e-5, atol=1e-6)


def test_a_saved_model_scores_the_same_and_holds_neither_code_nor_optimizer(tiny, tiles, tmp_path):
    tiny.compile(optimizer="adam", loss="binary_crossentropy")
    tiny.train_on_batch(tiles, np.ones((9, 1), np.float32))
    models.save_model(tiny, tmp_path / "model.keras")
    loaded = models.load_model(tmp_path / "model.keras")
    assert np.array_equal(tiny.predict(tiles, verbose=0), loaded.predict(tiles, verbose=0))
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        assert sorted(archive.namelist()) == ["config.json", "metadata.json", "model.weights.h5"]
    assert b"optimizer" not in read_member(tmp_path / "model.keras", "model.weights.h5")
    assert not hasattr(loaded, "optimizer")
    assert models.holds_model(tmp_path / "model.keras")


def test_a_model_with_code_in_it_is_refused(tmp_path):
    """CVE-2024-3660, CVE-2025-1550: a Lambda layer is code; Keras' safe mode does not load it."""
    keras.Sequential([keras.Input((4,)), keras.layers.Lambda(lambda x: x * 2)]).save(tmp_path / "evil.keras")
    with pytest.raises(InputError, match=r"I-MODEL Expected a model of Keras' own layers .*(?i:lambda|safe)"):
        models.load_model(tmp_path / "evil.keras")


@pytest.mark.parametrize(
    "layer",
    [
        {"module": "os", "class_name": "system", "config": "touch {mark}", "registered_name": "system"},
        {"module": "builtins", "class_name": "function", "config": "exec", "registered_name": "function"},
        {"module": "pathlib", "class_name": "Path", "config": {"path": "{mark}"}, "registered_name": None},
    ],
    ids=lambda layer: layer["module"],
)
def test_a_model_that_names_code_elsewhere_is_refused(tiny, tmp_path, layer):
    """CVE-2025-1550, CVE-2025-8747: an altered config.json that has Keras import what is no layer."""
    models.save_model(tiny, tmp_path / "model.keras")
    mark = tmp_path / "PWNED"
    with zipfile.ZipFile(tmp_path / "model.keras") as whole, zipfile.ZipFile(tmp_path / "evil.keras", "w") as evil:
        for name in whole.namelist():
            content = whole.read(name)
            if name == "config.json":
                config = json.loads(content)
                config["config"]["layers"][1] |= json.loads(json.dumps(layer).replace("{mark}", str(mark)))
                content = json.dumps(config).encode()
            evil.writestr(name, content)
    with pytest.raises(InputError, match=r"I-MODEL Expected a model of Keras' own layers"):
        models.load_model(tmp_path / "evil.keras")
    assert not mark.exists()


def test_a_model_in_the_old_format_is_refused(tiny, tmp_path):
    """The .h5 format has no safe mode (CVE-2025-9905), whatever the file is called."""
    tiny.save(tmp_path / "model.h5")
    (tmp_path / "model.h5").rename(tmp_path / "model.keras")
    with pytest.raises(InputError, match=r"I-MODEL Expected a \.keras model at .*, found another format"):
        models.load_model(tmp_path / "model.keras")


def test_an_excluded_rounds_archive_is_empty_and_valid(tmp_path):
    models.save_no_model(tmp_path / "model.keras")
    assert zipfile.ZipFile(tmp_path / "model.keras").namelist() == []
    assert not models.holds_model(tmp_path / "model.keras")


def test_damaged_model_files_are_named_with_their_true_fault(tiny, tmp_path):
    path = tmp_path / "model.keras"
    models.save_model(tiny, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(
        InputError, match=r"I-MODEL Expected a \.keras model at .*model\.keras, found: File is not a zip"
    ):
        models.holds_model(path)
    start = whole.index(b"model.weights.h5") + 5_000
    path.write_bytes(whole[:start] + bytes([whole[start] ^ 1]) + whole[start + 1 :])
    with pytest.raises(InputError, match=r"I-MODEL .*damaged; train the round again"):
        models.holds_model(path)
    path.unlink()
    with pytest.raises(InputError, match=r"I-MODEL .*No such file"):
        models.holds_model(path)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_lower_precision_keeps_variables_and_the_last_layers_in_float32(precision, tiny, tiles, tmp_path):
    low = models.build_model(EXTREMES, precision=precision, **TINY)
    low.set_weights(tiny.get_weights())
    assert low.layers[2].compute_dtype == precision.removeprefix("mixed_")
    assert {layer.compute_dtype for layer in (low.get_layer(models.POOL), low.get_layer(models.HEAD))} == {"float32"}
    assert {weight.dtype for weight in low.weights} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"
    np.testing.assert_allclose(low.predict(tiles, verbose=0), tiny.predict(tiles, verbose=0), atol=0.02)
    models.save_model(tiny, tmp_path / "model.keras")
    recast = models.load_model(tmp_path / "model.keras", precision=precision)
    assert np.array_equal(recast.predict(tiles, verbose=0), low.predict(tiles, verbose=0))


def test_weights_of_a_file_replace_the_random_start_of_the_layers_before_pooling(tiny, tmp_path):
    keras.Model(tiny.input, tiny.get_layer(models.POOL).input).save_weights(tmp_path / "start.weights.h5")
    other = models.build_model(EXTREMES, **TINY)
    models.initialise(other, seed=4, weights=str(tmp_path / "start.weights.h5"))
    same = [np.array_equal(a, b) for a, b in zip(tiny.get_weights(), other.get_weights(), strict=True)]
    assert same[:-2] == [True] * (len(same) - 2)
    assert same[-2] is False  # the kernel of the last layer is drawn from the seed
    with pytest.raises(InputError, match=r"Expected a file of weights as model\.weights, found nothing at none\.h5"):
        models.initialise(other, seed=4, weights="none.h5")


def test_unknown_networks_and_sizes_are_refused():
    with pytest.raises(InputError, match=r"one of inception-v3, .*, tiny, found 'inception'; nearest: inception-v3"):
        models.build_model(EXTREMES, **TINY | {"network": "inception"})
    with pytest.raises(InputError, match=r"at least 75 px for inception-v3, found 64"):
        models.build_model(EXTREMES, **TINY | {"network": "inception-v3", "size": 64})
    with pytest.raises(InputError, match=r"float32, mixed_bfloat16, mixed_float16, found 'half'"):
        models.build_model(EXTREMES, precision="half", **TINY)


# Without the last layer, as keras.applications' documentation and the papers have them.
PARAMETERS = {
    "inception-v3": 21_802_784, "densenet-121": 7_037_504, "resnet-50": 23_587_712, "vgg-16": 14_714_688,
    "efficientnet-v2-b0": 5_919_312, "mobilenet-v2": 2_257_984,
}  # fmt: skip


@pytest.mark.parametrize("network", sorted(PARAMETERS))
def test_each_network_has_its_published_parameters_and_looks_at_the_smallest_tile(network):
    size = models.NETWORKS[network].smallest
    model = models.build_model(TASKS["spots"], **TINY | {"network": network, "size": size})
    assert model.count_params() - model.get_layer(models.HEAD).count_params() == PARAMETERS[network]
    tiles = np.random.default_rng(0).integers(0, 256, (2, size, size, 3), np.uint8)
    scaled = keras.Model(model.input, model.get_layer(models.SCALE).output).predict(tiles, verbose=0)
    assert scaled.max() <= 1
    rescaling = [layer.name for layer in model.layers if isinstance(layer, keras.layers.Rescaling)]
    assert rescaling == [models.SCALE]  # bytes are scaled once
    assert model.output_shape == (None, 1)


@pytest.mark.slow
@pytest.mark.parametrize("network", ["resnet-50", "vgg-16", "efficientnet-v2-b0", "mobilenet-v2"])
def test_a_step_of_training_moves_every_network_towards_its_labels(network):
    model = models.build_model(TASKS["spots"], **TINY | {"network": network, "size": 32, "normalise": "training"})
    models.initialise(model, seed=1)
    tiles = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), np.uint8)
    models.normalise_by(model, tiles)
    model.compile(keras.optimizers.Adam(1e-3), "mean_squared_error")
    labels = np.linspace(1, 3, 8)[:, None]
    losses = [float(model.train_on_batch(tiles, labels)) for _ in range(6)]
    assert np.isfinite(losses).all() and min(losses[1:]) < 0.9 * losses[0]


def test_densenet_is_the_published_one_and_takes_the_published_kind_of_file(tmp_path):
    """121 layers with weights: 120 convolutions and the last one; a file without a head, as those for ImageNet."""
    model = models.build_model(
        TASKS["spots"], **TINY | {"network": "densenet-121", "size": 32, "normalise": "training"}
    )
    models.initialise(model, seed=1)
    weighted = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D | keras.layers.Dense)]
    assert len(weighted) == 121
    published = keras.applications.DenseNet121(include_top=False, weights=None, input_shape=(224, 224, 3))
    for suffix in (".weights.h5", ".h5"):  # of Keras 3, and the old one of keras.applications
        file = tmp_path / f"notop{suffix}"
        published.save_weights(file) if suffix == ".weights.h5" else published.save(file)
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        models.initialise(model, seed=1, weights=str(file), weights_sha256=digest)
        kernel = model.get_layer("conv1_conv").get_weights()[0]
        assert np.array_equal(kernel, published.get_layer("conv1_conv").get_weights()[0])
    with pytest.raises(InputError, match=r"Expected the file of weights whose SHA-256 is model.weights_sha256 \(0000"):
        models.initialise(model, seed=1, weights=str(file), weights_sha256="0" * 64)


def test_normalised_models_survive_saving_and_share_one_architecture(tmp_path):
    rng = np.random.default_rng(0)
    tiles = rng.integers(0, 256, (6, TINY["size"], TINY["size"], 3), np.uint8)
    paths = []
    for number, scale in enumerate((1, 2)):
        model = models.build_model(TASKS["spots"], **TINY | {"normalise": "training"})
        models.initialise(model, seed=1)
        models.normalise_by(model, tiles // scale)
        paths.append(tmp_path / f"{number}.keras")
        models.save_model(model, paths[-1])
        before = model.predict(tiles, verbose=0)
        assert np.array_equal(models.load_model(paths[-1]).predict(tiles, verbose=0), before)
    models.check_same([str(path) for path in paths])
