"""What a study's configuration may say of a network and of how it is fitted; the same for every task."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from histocarta.kinds import Section
from histocarta.networks import SMALLEST_TILE


class Model(Section):
    """The network."""

    network: Literal["inception-v3", "tiny"] = Field("inception-v3", description="architecture (tiny: trial runs only)")
    size: int = Field(512, ge=16, description="side of the network's input in pixels; tiles are resized to it")
    pooling: Literal["avg", "max"] | None = Field(None, description="global pooling; null: by `fidelity`")
    batch_norm_momentum: float = Field(
        0.99, ge=0, lt=1, description="Keras' momentum; use 0.9 where a run has only some hundred steps"
    )
    weights: str | None = Field(None, description="weights file to start from; null: random")

    @model_validator(mode="after")
    def _large_enough(self) -> "Model":
        if self.size < SMALLEST_TILE[self.network]:
            raise ValueError(f"size of at least {SMALLEST_TILE[self.network]} px for {self.network}")
        return self


class Training(Section):
    """How a model is fitted."""

    batch: int = Field(32, ge=1, description="tiles per step, over all GPUs")
    learning_rate: float = Field(1e-3, gt=0, description="Adam's learning rate")
    validations_per_epoch: int = Field(16, ge=1, description="validations in one pass over the training tiles")
    min_steps: int = Field(1, ge=1, description="fewest training steps between two validations")
    steps: Annotated[int, Field(ge=1)] | None = Field(
        None, description="training steps between two validations; null: by the two keys above"
    )
    max_validations: int = Field(1000, ge=1, description="most validations of one training")
    plateau: Annotated[int, Field(ge=1)] | None = Field(
        10, description="validations without improvement before the learning rate falls tenfold; null: it never does"
    )
    stop: int = Field(30, ge=1, description="validations without improvement before training stops")
    min_delta: float = Field(0.0, ge=0, description="how much the validation loss must fall to count, for `stop`")
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = Field(
        "float32", description="Keras dtype policy"
    )
    xla: bool = Field(False, description="compile with XLA (jax always does); results may then not be repeatable")
    gpus: int = Field(1, ge=0, description="GPUs of one training job; 0: CPU only")
    shuffle_buffer: int = Field(2048, ge=1, description="tiles in the shuffle buffer")
    augment: list[Literal["horizontal", "vertical", "rotate"]] = Field(
        ["horizontal", "vertical"],
        description="random flips of training tiles, independent of each other; rotate: by quarter turns",
    )
    require_gpu: bool = Field(
        True,
        description="an error where CUDA_VISIBLE_DEVICES names a GPU and none is seen; false: a warning, and the CPU",
    )
    all_rounds_in_one_job: bool = Field(False, description="train all rounds of a trait in one process")
    keep_best: int = Field(
        0, ge=0, description="epochs (validations) with the lowest loss whose weights stay in epochs/"
    )
    keep_random: int = Field(0, ge=0, description="epochs drawn beforehand whose weights stay there as well")
    max_validation_tiles: Annotated[int, Field(ge=1)] | None = Field(
        None, description="most tiles scored at one validation; null: all"
    )
