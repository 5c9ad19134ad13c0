"""Which epochs' weights are kept beside the model: the best so far, and some that chance has chosen beforehand."""

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from histocarta.files import replacing


class Album:
    """A folder of ``validation-{number}.weights.h5`` files (Wang 2021 keeps the 10 best epochs and 10 random ones).

    best : how many of the lowest validation losses are kept; random : how many validations are drawn from the first to
    the ``most``-th by ``seed``, of which a training that stops early reaches some. What is kept follows from the
    history alone, so that a resumed training keeps what the whole would have kept.
    """

    def __init__(self, folder: str | Path, *, best: int, random: int, most: int, seed: int) -> None:
        self.folder, self.best = Path(folder), best
        draw = np.random.default_rng([seed, 1]).choice(most, min(random, most), replace=False)
        self.drawn = {int(number) + 1 for number in draw}

    def add(self, model: keras.Model, history: Sequence[dict[str, float]]) -> None:
        """Keep the weights of the last row of ``history`` if they are wanted, and delete what no longer is."""
        losses = [row["validation_loss"] for row in history]
        ranked = sorted(range(1, 1 + len(losses)), key=lambda number: losses[number - 1])
        wanted = {*ranked[: self.best], *(number for number in self.drawn if number <= len(losses))}
        for path in self.folder.glob("validation-*.weights.h5"):
            if int(path.name.split("-")[1].split(".")[0]) not in wanted:
                path.unlink()
        if len(losses) in wanted:
            with replacing(self.folder / f"validation-{len(losses):06d}.weights.h5") as temporary:
                whole = temporary.with_name(f"{temporary.stem}.weights.h5")  # the only name that Keras writes to
                model.save_weights(whole)
                whole.replace(temporary)
