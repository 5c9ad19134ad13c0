"""Which networks a study can choose; how one is built, started from a seed, saved, and loaded without foreign code."""

import json
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from histocarta.errors import InputError, nearest
from histocarta.files import replacing, sha256
from histocarta.networks import SMALLEST_TILE
from histocarta.tasks import Task

# Layers found by name; pool and score stay in float32 whatever the rest is.
SCALE, NORMALISE, POOL, HEAD = "scale", "normalise", "pool", "score"
LEAST_DEVIATION = 1e-3  # of a channel, in 0..1
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")  # Keras' dtype policies; variables are float32 in all
POOLINGS = {"avg": keras.layers.GlobalAveragePooling2D, "max": keras.layers.GlobalMaxPooling2D}


@dataclass(frozen=True)
class Network:
    """A row of ``NETWORKS``: from images in 0..1 (N x size x size x 3) to a map of features."""

    features: Callable[[keras.KerasTensor], keras.KerasTensor]
    smallest: int
    source: str


def _of_keras(build: Callable[..., keras.Model], **settings: Any) -> Callable[[keras.KerasTensor], keras.KerasTensor]:
    """The features of a network of keras.applications, without its head and without weights."""

    def features(images: keras.KerasTensor) -> keras.KerasTensor:
        return build(include_top=False, weights=None, input_tensor=images, **settings).output

    return features


def _tiny(images: keras.KerasTensor) -> keras.KerasTensor:
    """Two convolutions with batch normalisation: for tests and trial runs of the workflow, not for science."""
    for n, filters in enumerate((8, 16)):
        images = keras.layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False, name=f"conv{n}")(images)
        images = keras.layers.BatchNormalization(name=f"norm{n}")(images)
        images = keras.layers.ReLU(name=f"relu{n}")(images)
    return images


# All but the tiny one are those of keras.applications, whose published weights are learnt from pixels of another range
# than 0..1 (mean and deviation of ImageNet, or -1..1): `normalise: training` brings tiles near to it.
KERAS = keras.applications
NETWORKS: dict[str, Network] = {
    name: Network(features, SMALLEST_TILE[name], source)
    for name, features, source in (
        ("inception-v3", _of_keras(KERAS.InceptionV3), "Szegedy et al. 2016; Levy-Jurgenson 2020, Wang 2021"),
        ("densenet-121", _of_keras(KERAS.DenseNet121), "Huang et al. 2017; He 2020"),
        ("resnet-50", _of_keras(KERAS.ResNet50), "He et al. 2016, Deep residual learning"),
        ("vgg-16", _of_keras(KERAS.VGG16), "Simonyan & Zisserman 2015; no batch normalisation"),
        # Its own scaling of bytes is left out: pixels come in 0..1.
        ("efficientnet-v2-b0", _of_keras(KERAS.EfficientNetV2B0, include_preprocessing=False), "Tan & Le 2021"),
        ("mobilenet-v2", _of_keras(KERAS.MobileNetV2), "Sandler et al. 2018"),
        ("tiny", _tiny, "for tests"),
    )
}


def build_model(
    task: Task,
    *,
    network: str,
    size: int,
    pooling: str,
    batch_norm_momentum: float,
    normalise: str = "unit",
    precision: str = "float32",
) -> keras.Model:
    """A network for ``task``: uint8 tiles (N x size x size x 3) in, float32 scores (N x units) out.

    Pixels are scaled to 0..1 inside the model, as Levy-Jurgenson 2020 does (no mean, no standard deviation), so that a
    saved model can be given tiles as they are stored; ``normalise`` "training" then takes off a mean and divides by a
    deviation per channel (:func:`normalise_by`). The variables hold an arbitrary start: see :func:`initialise`.
    """
    if network not in NETWORKS:
        raise InputError(
            f"Expected model.network to be one of {', '.join(NETWORKS)}, found {network!r}{nearest(network, NETWORKS)}"
        )
    if size < NETWORKS[network].smallest:
        raise InputError(
            f"Expected model.size of at least {NETWORKS[network].smallest} px for {network}, found {size}; "
            "raise model.size or the layout's size"
        )
    with _precision(precision):
        images = keras.Input((size, size, 3), dtype="uint8", name="tile")
        pixels = keras.layers.Rescaling(1 / 255, name=SCALE)(images)
        if normalise == "training":
            pixels = _normalisation()(pixels)
        features = NETWORKS[network].features(pixels)
        pooled = POOLINGS[pooling](name=POOL, dtype="float32")(features)
        scores = keras.layers.Dense(task.units, activation=task.activation, name=HEAD, dtype="float32")(pooled)
        model = keras.Model(images, scores, name=network.replace("-", "_"))
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            # Keras' default of .99 needs hundreds of steps before the averages used at inference follow the weights.
            layer.momentum = batch_norm_momentum
    return model


def _normalisation() -> keras.layers.Layer:
    """(x - mean) / deviation of each channel, whose two vectors are weights: all rounds share one architecture.

    A batch normalisation that is not trained is this and no more, in training too.
    """
    return keras.layers.BatchNormalization(
        center=False, scale=False, trainable=False, epsilon=LEAST_DEVIATION**2, name=NORMALISE
    )


def normalise_by(model: keras.Model, pixels: np.ndarray) -> None:
    """Give the normalisation of ``model`` the channels' mean and variance over ``pixels`` (uint8, … x 3)."""
    values = pixels.reshape(-1, 3) / 255.0
    model.get_layer(NORMALISE).set_weights([values.mean(axis=0), values.var(axis=0)])


def start_at_mean(model: keras.Model, labels: np.ndarray) -> None:
    """Let the last layer predict the mean of ``labels`` (tiles x outputs) whatever it sees, as He 2020 starts."""
    kernel, bias = model.get_layer(HEAD).weights
    kernel.assign(np.zeros(kernel.shape, np.float32))
    bias.assign(labels.mean(axis=0, dtype=np.float64).astype(np.float32))


def initialise(model: keras.Model, *, seed: int, weights: str | None = None, weights_sha256: str | None = None) -> None:
    """Set every variable to what its layer's own initialiser draws from ``seed``.

    One compiled model serves all rounds in this way: its graph is traced once. ``weights``, a file of weights for the
    layers before the pooling (such as those published for ImageNet), replaces the random start of those layers.
    Raises InputError where it is not there, or not the file of that SHA-256.
    """
    seeds = iter(np.random.SeedSequence(seed).generate_state(len(model.weights), np.uint32))
    for layer in model.layers:
        for variable in layer.weights:
            depthwise = isinstance(layer, keras.layers.DepthwiseConv2D) and variable.name == "kernel"
            initializer = getattr(layer, "depthwise_initializer" if depthwise else f"{variable.name}_initializer")
            config, drawn = initializer.get_config(), int(next(seeds) >> 1)
            config |= {"seed": drawn} if "seed" in config else {}
            variable.assign(type(initializer).from_config(config)(variable.shape, variable.dtype))
    if weights is not None:
        if not Path(weights).is_file():
            raise InputError(f"Expected a file of weights as model.weights, found nothing at {weights}")
        if weights_sha256 and (found := sha256(weights)) != weights_sha256:
            raise InputError(
                f"Expected the file of weights whose SHA-256 is model.weights_sha256 ({weights_sha256}), found {found} "
                f"at {weights}; fetch it again, or correct the key"
            )
        pixels = NORMALISE if any(layer.name == NORMALISE for layer in model.layers) else SCALE
        keras.Model(model.get_layer(pixels).output, model.get_layer(POOL).input).load_weights(weights)


def save_model(model: keras.Model, path: str | Path) -> None:
    """Write the model as ``.keras`` (architecture as JSON, weights as HDF5, no code), without the optimizer.

    Equal models give equal bytes: what Keras adds of dates and memory addresses is replaced.
    """
    with replacing(path) as temporary, tempfile.TemporaryDirectory(dir=temporary.parent) as folder:
        whole = Path(folder) / "model.keras"
        keras.Model(model.inputs, model.outputs, name=model.name).save(whole)
        with zipfile.ZipFile(whole) as source, zipfile.ZipFile(temporary, "w") as archive:
            for name in sorted(source.namelist()):
                content = source.read(name)
                if name.endswith(".json"):
                    content = json.dumps(_lasting(json.loads(content), {}), sort_keys=True).encode()
                archive.writestr(zipfile.ZipInfo(name), content)  # dated 1980, as reproducible archives are


def save_no_model(path: str | Path) -> None:
    """An empty, valid ``.keras`` archive: the output of a round that could not be trained."""
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w"):
        pass


def holds_model(path: str | Path) -> bool:
    """Whether ``path`` holds a model rather than the empty archive of an excluded round.

    Raises InputError where it is neither: cut short, damaged or not an archive (Keras would only say "File not found").
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            damaged = archive.testzip()
    except (zipfile.BadZipFile, FileNotFoundError) as error:
        raise InputError(f"I-MODEL Expected a .keras model at {path}, found: {error}; train the round again") from error
    if damaged or (names and "config.json" not in names):
        raise InputError(f"I-MODEL Expected a whole .keras model at {path}, found it damaged; train the round again")
    return bool(names)


def load_model(path: str | Path, *, precision: str = "float32") -> keras.Model:
    """Read a model in Keras' safe mode (no code of the file is run); ``precision`` is that of its arithmetic.

    Raises InputError for a file in another format, the old ``.h5`` among them, which no safe mode guards, and for a
    model that holds or names code.
    """
    if not zipfile.is_zipfile(path):
        raise InputError(f"I-MODEL Expected a .keras model at {path}, found another format; train the round again")
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except (ValueError, TypeError) as error:
        said = str(error).strip().split("\n")[0]
        raise InputError(
            f"I-MODEL Expected a model of Keras' own layers at {path}, found one that Keras refuses: {said}"
        ) from error
    return model if model.get_layer(SCALE).dtype_policy.name == precision else _recast(model, precision)


def check_same(paths: list[str]) -> None:
    """Raise InputError unless all the files hold one and the same network, so that their weights can be exchanged."""
    first, *others = (_config(path) for path in paths)
    for path, config in zip(paths[1:], others, strict=True):
        if config != first:
            raise InputError(f"I-MODEL Expected one network in all rounds, found {path} to differ from {paths[0]}")


def _recast(model: keras.Model, precision: str) -> keras.Model:
    """A copy of ``model`` that computes in ``precision`` up to the pooling; variables stay float32."""

    def cast(layer: keras.Layer) -> keras.Layer:
        config = layer.get_config()
        if layer.name not in (POOL, HEAD, model.layers[0].name):
            config["dtype"] = precision
        return type(layer).from_config(config)

    copy = keras.models.clone_model(model, clone_function=cast)
    copy.set_weights(model.get_weights())
    return copy


@contextmanager
def _precision(name: str) -> Iterator[None]:
    """Layers made inside the block compute in ``name``; keras.applications takes no such argument."""
    if name not in PRECISIONS:
        raise InputError(f"Expected training.precision to be one of {', '.join(PRECISIONS)}, found {name!r}")
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _lasting(value: Any, seen: dict[int, int]) -> Any:
    """``value`` with shared objects numbered in the order of their appearance, and without the date."""
    if isinstance(value, dict):
        lasting = {key: _lasting(item, seen) for key, item in value.items()}
        if "shared_object_id" in value:
            lasting["shared_object_id"] = seen.setdefault(value["shared_object_id"], len(seen))
        if "date_saved" in value:
            lasting["date_saved"] = "1980-01-01@00:00:00"
        return lasting
    return [_lasting(item, seen) for item in value] if isinstance(value, list) else value


def _config(path: str) -> dict:
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("config.json"))
