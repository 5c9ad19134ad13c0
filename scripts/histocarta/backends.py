"""What Keras' backends do not do alike: finding devices, repeatable results, one compiled graph for many weights."""

# Keras, TensorFlow and JAX are imported where they are used: the Snakefile imports this module, and JAX is optional.
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from histocarta.errors import InputError

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

NO_CARD = ("", "-1", "NoDevFiles")  # what CUDA_VISIBLE_DEVICES says where no card was given
Weights = tuple[list[Any], list[Any]]  # tensors of the backend: trainable ones and others
Compiled = Callable[[Weights, "tf.Tensor"], np.ndarray]  # from uint8 tiles to scores
Gradient = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]  # from pixels (float) to one output and its gradient


@dataclass(frozen=True)
class Backend:
    """A row of ``BACKENDS``: what training and scoring need beyond Keras' backend-neutral API.

    libraries : those besides Keras whose versions decide the weights; all must be installed.
    always_xla : nothing runs uncompiled; ``training.xla`` then says only that results need not be repeatable.
    one_size : another size of batch is another compilation (minutes for Inception v3), so last batches are filled up.
    limit : holds the process to its share of the machine (gpus; threads, None: all), before anything is computed. A
        backend by itself takes as many threads as there are cores, whatever Snakemake gave its job.
    gpus : those that the library sees.
    prepare : makes the process ready to train (gpus, precision, xla); networks are built in the context it returns.
    compile : turns a model into a function that is traced once, for the weights of every model of its architecture.
    gradient : of a model of pixels (float) and the number of an output: a function to that output and its gradient.
    """

    name: str
    libraries: tuple[str, ...]
    always_xla: bool
    one_size: bool
    limit: Callable[..., None]
    gpus: Callable[[], list[Any]]
    prepare: Callable[..., AbstractContextManager]
    compile: Callable[["keras.Model"], Compiled]
    gradient: Callable[["keras.Model", int], Gradient]


def backend_in_use() -> Backend:
    """The backend that Keras was started with; InputError where histocarta does not support it."""
    import keras

    return backend_named(keras.config.backend())


def backend_named(name: str) -> Backend:
    """The row of ``BACKENDS`` called ``name``; InputError where there is none."""
    if name not in BACKENDS:
        raise InputError(
            f"M-BACKEND Expected KERAS_BACKEND to be one of {', '.join(BACKENDS)}, found {name!r}; "
            "unset it for tensorflow"
        )
    return BACKENDS[name]


def check_gpus(*, gpus: int, required: bool) -> None:
    """Raise InputError where a job that asks for ``gpus`` was given one, by CUDA_VISIBLE_DEVICES, and none is seen.

    Its CUDA libraries are missing then, and it would go on on the CPU, some fifty times slower, without a word. Where a
    GPU is not ``required`` it says so and goes on. SLURM's own variables are no help: the executor deletes them.
    """
    given, backend = os.environ.get("CUDA_VISIBLE_DEVICES", ""), backend_in_use()
    if gpus and given not in NO_CARD and not backend.gpus():
        what = f"M-NOGPU Expected GPU {given} (CUDA_VISIBLE_DEVICES), found none in {backend.name}"
        if required:
            raise InputError(f"{what}; install its CUDA libraries (README), or set training.require_gpu: false")
        print(f"{what}; going on on the CPU (training.require_gpu: false)", file=sys.stderr, flush=True)


def check_backend(environment: Mapping[str, str]) -> None:
    """Raise InputError where KERAS_BACKEND asks for what is not supported or not installed.

    It is asked before any job starts: in a job, ``import keras`` would end with a ModuleNotFoundError first.
    """
    name = environment.get("KERAS_BACKEND")
    missing = [library for library in backend_named(name).libraries if find_spec(library) is None] if name else []
    if missing:
        raise InputError(
            f"M-BACKEND Expected the package {missing[0]} for KERAS_BACKEND={name}, found it not installed; "
            f"pip install {missing[0]}, or unset KERAS_BACKEND for tensorflow"
        )


def _limit_tensorflow(*, gpus: int, threads: int | None) -> None:
    import tensorflow as tf

    if gpus == 0:
        tf.config.set_visible_devices([], "GPU")
    if threads:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)


def _gpus_tensorflow() -> list[Any]:
    import tensorflow as tf

    return tf.config.list_logical_devices("GPU")


def _prepare_tensorflow(*, gpus: int, precision: str, xla: bool) -> AbstractContextManager:
    """No GPU (0), the one that is there or the CPU (1), or that many in step (more)."""
    import tensorflow as tf

    found = _gpus_tensorflow()
    strategy = tf.distribute.get_strategy()
    if gpus > 1:
        devices = found or tf.config.list_logical_devices("CPU")
        if len(devices) < gpus:
            raise InputError(
                f"M-NOGPU Expected {gpus} GPUs (training.gpus), found {len(devices)} device(s); set a lower number"
            )
        strategy = tf.distribute.MirroredStrategy([device.name for device in devices[:gpus]])
    if not xla:  # the two exclude each other
        tf.config.experimental.enable_op_determinism()
    if precision == "float32" and not found:
        # Rewriting the graph takes 5 s per job and gains nothing in float32 on a CPU (other types: not measured).
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    return strategy.scope()


def _limit_jax(*, gpus: int, threads: int | None) -> None:
    import jax

    _leave_gpus_to_jax()
    if gpus == 0:
        jax.config.update("jax_platforms", "cpu")
    if threads:
        os.environ["NPROC"] = str(threads)  # read by XLA when it first looks for the CPU


def _gpus_jax() -> list[Any]:
    import jax

    return [device for device in jax.devices() if device.platform == "gpu"]


def _prepare_jax(*, gpus: int, precision: str, xla: bool) -> AbstractContextManager:
    """No GPU (0), or the first that is there or the CPU (1)."""

    if gpus > 1:
        raise InputError(
            f"M-NOGPU Expected at most 1 GPU (training.gpus) with KERAS_BACKEND=jax, found {gpus}; "
            "set 1, or unset KERAS_BACKEND to train on several with tensorflow"
        )
    if not xla:
        # Read when JAX first looks for devices. On a CPU its results are repeatable as they are.
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_gpu_deterministic_ops=true".strip()
    return nullcontext()


def _compile_tensorflow(model: "keras.Model") -> Compiled:
    import tensorflow as tf

    @tf.function(autograph=False)
    def apply(weights: Weights, tiles: "tf.Tensor") -> "tf.Tensor":
        return model.stateless_call(*weights, tiles, training=False)[0]

    groups = (model.trainable_variables, model.non_trainable_variables)
    weights = tuple([tf.TensorSpec(variable.shape, variable.dtype) for variable in group] for group in groups)
    tiles = tf.TensorSpec([None, *model.input_shape[1:]], tf.uint8)  # any number: the last batch is smaller
    traced = apply.get_concrete_function(weights, tiles)

    def score(weights: Weights, tiles: "tf.Tensor") -> np.ndarray:
        return traced(weights, tiles).numpy()

    return score


def _compile_jax(model: "keras.Model") -> Compiled:
    import jax

    @jax.jit
    def apply(weights: Weights, tiles: jax.Array) -> jax.Array:
        return model.stateless_call(*weights, tiles, training=False)[0]

    def score(weights: Weights, tiles: "tf.Tensor") -> np.ndarray:
        return np.asarray(apply(weights, tiles.numpy()))

    return score


def _gradient_tensorflow(model: "keras.Model", output: int) -> Gradient:
    import tensorflow as tf

    @tf.function(autograph=False, input_signature=[tf.TensorSpec([None, *model.input_shape[1:]], tf.float32)])
    def apply(pixels: "tf.Tensor") -> tuple["tf.Tensor", "tf.Tensor"]:
        with tf.GradientTape() as tape:
            tape.watch(pixels)
            value = model(pixels, training=False)[:, output]
        return value, tape.gradient(value, pixels)

    def gradient(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        value, found = apply(tf.constant(pixels, tf.float32))
        return value.numpy(), found.numpy()

    return gradient


def _gradient_jax(model: "keras.Model", output: int) -> Gradient:
    import jax

    weights = [variable.value for variable in model.trainable_variables]
    others = [variable.value for variable in model.non_trainable_variables]

    def total(pixels: jax.Array) -> tuple[jax.Array, jax.Array]:
        value = model.stateless_call(weights, others, pixels, training=False)[0][:, output]
        return value.sum(), value  # each value depends on its own pixels only

    apply = jax.jit(jax.value_and_grad(total, has_aux=True))

    def gradient(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        (_, value), found = apply(np.asarray(pixels, np.float32))
        return np.asarray(value), np.asarray(found)

    return gradient


def _leave_gpus_to_jax() -> None:
    """TensorFlow reads tiles here and needs no GPU, but would take the whole memory of each that it sees."""
    import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")


BACKENDS: dict[str, Backend] = {
    backend.name: backend
    for backend in (
        Backend(
            name="tensorflow",
            libraries=("tensorflow",),
            always_xla=False,
            one_size=False,
            limit=_limit_tensorflow,
            gpus=_gpus_tensorflow,
            prepare=_prepare_tensorflow,
            compile=_compile_tensorflow,
            gradient=_gradient_tensorflow,
        ),
        Backend(
            name="jax",
            libraries=("jax", "jaxlib", "tensorflow"),  # tiles are read and flipped by tf.data in both
            always_xla=True,
            one_size=True,
            limit=_limit_jax,
            gpus=_gpus_jax,
            prepare=_prepare_jax,
            compile=_compile_jax,
            gradient=_gradient_jax,
        ),
    )
}
