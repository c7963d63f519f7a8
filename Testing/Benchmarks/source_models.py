"""Runs in the environment that has TensorFlow: write the PE source's two models, with random weights.

    python source_models.py OUT

Writes `slices.h5` and `sequence.h5` into OUT: the layout of docs/sources.md 1, one channel at 386 pixels a side. How
long a network takes does not hang on the values of its weights as long as no activation dies or overflows; `randomize`
sees to that. What random weights say of slices lies close together: it is spread, so that about a quarter of the slices
of a study of 96 are positive and get a heat map, as in a study with a clot, and so is the stack.
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"
sys.path.insert(0, str(Path(__file__).parents[1] / "Keras"))

import numpy as np
from write_models import randomize, sequence_model, slice_model

SIZE = 386
SEED = 7
# Measured on the study of `end_to_end`: three quarters of the slice logits lie below the first number.
SLICE_LOGIT, SPREAD, STACK_BIAS = -0.3725, 40.0, 3.0


def main(out):
    """Write both."""
    rng = np.random.default_rng(SEED)
    slices, sequence = slice_model(1, SIZE), sequence_model()
    for model in (slices, sequence):
        randomize(model, rng)
    kernel, bias = sequence.get_layer("slices").get_weights()
    sequence.get_layer("slices").set_weights([SPREAD * kernel, SPREAD * (bias - SLICE_LOGIT)])
    kernel, _ = sequence.get_layer("sequence").get_weights()
    sequence.get_layer("sequence").set_weights([kernel, np.full(1, STACK_BIAS, np.float32)])
    slices.save(out / "slices.h5")
    sequence.save(out / "sequence.h5")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
