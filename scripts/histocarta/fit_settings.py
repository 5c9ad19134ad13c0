"""What a study's configuration may say of every task: its layout and scheme, its network, and how that is fitted."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from histocarta.kinds import LayoutName, SchemeName, Section, TraitName
from histocarta.networks import SMALLEST_TILE


class Model(Section):
    """The network."""

    network: Literal[
        "inception-v3", "densenet-121", "resnet-50", "vgg-16", "efficientnet-v2-b0", "mobilenet-v2", "tiny"
    ] = Field("inception-v3", description="architecture (tiny: trial runs only)")
    size: int = Field(512, ge=16, description="side of the network's input in pixels; tiles are resized to it")
    pooling: Literal["avg", "max"] | None = Field(None, description="global pooling; null: by `fidelity`")
    batch_norm_momentum: float = Field(
        0.99, ge=0, lt=1, description="Keras' momentum; use 0.9 where a run has only some hundred steps"
    )
    weights: str | None = Field(None, description="weights file to start from; null: random")
    weights_sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = Field(
        None, description="what that file must be; null: whatever it is"
    )
    normalise: Literal["unit", "training"] = Field(
        "unit",
        description="unit: pixels are scaled to 0..1; training: then by mean and deviation of the first training "
        "batches, channel by channel",
    )

    @model_validator(mode="after")
    def _large_enough(self) -> "Model":
        if self.size < SMALLEST_TILE[self.network]:
            raise ValueError(f"size of at least {SMALLEST_TILE[self.network]} px for {self.network}")
        return self


class Training(Section):
    """How a model is fitted."""

    batch: int = Field(32, ge=1, description="tiles per step, over all GPUs")
    learning_rate: float = Field(1e-3, gt=0, description="learning rate")
    optimizer: Literal["adam", "sgd"] = Field("adam", description="what changes the weights")
    momentum: float = Field(0.9, ge=0, lt=1, description="of sgd")
    reduction: Literal["mean", "sum"] = Field(
        "mean",
        description="how a batch's losses become one: sum (ST-Net's code) with a learning rate of 1e-6 and batches of "
        "32 is mean with 32e-6",
    )
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


class Task(Section):
    """What every task says of itself."""

    layout: LayoutName = Field(description="name of a layout")
    scheme: SchemeName = Field(description="name of a split scheme")
    traits: str | list[TraitName] = Field(description="traits to predict: a sheet with the column `trait`, or a list")
    model: Model = Field(Model(), description="network")
    training: Training = Field(Training(), description="fit")

    def judging(self) -> dict[str, Any]:
        """What training is told beyond ``model`` and ``training``."""
        return {"threshold": None}

    def combining(self, *, seed: int) -> dict[str, Any]:
        """What the function that makes one score of the rounds' is told."""
        return {}

    def tables(self) -> list[str]:
        """Names of the task's tables of performance, tables/{name}.tsv."""
        raise NotImplementedError

    def at_once(self) -> list[str]:
        """The ways in which all genes are predicted at once."""
        return []

    def gathered(self) -> list[str]:
        """The ways of which there is a table of many genes, and no files of each."""
        return self.at_once()

    def ways(self) -> list[str]:
        """How genes are predicted, of a task that has several ways."""
        return []

    def one_by_one(self) -> bool:
        """Whether each of the ``traits`` has jobs, and files, of its own."""
        return True
