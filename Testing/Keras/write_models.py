"""Runs in the environment of `make_environment.py`: write models with Keras itself, and what it answers.

    python write_models.py OUT SIZE

Random weights. Files in OUT: `gray.h5`, `rgb.h5` (slice models of the PE source, whole models), `gray.weights.h5`,
`rgb.keras`, `backbone.weights.h5` (no head), `nested.h5` (the backbone as one layer of a model), `sequence.h5`,
`sequence.weights.h5`, `other.h5` (an image network that is none of these), `answers.npz`: for each kind of model its
input and its outputs.
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import numpy as np

layers = keras.layers


def slice_model(channels, size):
    """The slice network of docs/sources.md 1."""
    shape = (size, size, channels)
    inception = keras.applications.InceptionResNetV2(include_top=False, weights=None, input_shape=shape)
    return keras.Model(inception.input, _head(inception.output))


def nested_model(size):
    """The same with the backbone kept as one layer."""
    inception = keras.applications.InceptionResNetV2(include_top=False, weights=None, input_shape=(size, size, 1))
    images = keras.Input((size, size, 1))
    return keras.Model(images, _head(inception(images, training=False)))


def _head(maps):
    x = layers.GlobalAveragePooling2D()(maps)
    x = layers.Dense(512, activation="relu")(x)
    x = layers.Dropout(0.2)(x)
    x = layers.Dense(64)(x)
    return layers.Dense(1, activation="sigmoid")(x)


def sequence_model(length=96, encoding=64):
    """The sequence network of docs/sources.md 1."""
    stack = keras.Input((length, encoding))
    x = layers.BatchNormalization()(stack)
    x = layers.Bidirectional(layers.LSTM(64, return_sequences=True))(x)
    x = layers.TimeDistributed(layers.Dense(512, activation="relu"))(x)
    x = layers.TimeDistributed(layers.Dense(128, activation="relu"))(x)
    slices = layers.TimeDistributed(layers.Dense(1, activation="sigmoid"), name="slices")(x)
    flat = layers.Dropout(0.05)(layers.Reshape((length,))(slices))
    return keras.Model(stack, [slices, layers.Dense(1, activation="sigmoid", name="sequence")(flat)])


def randomize(model, rng):
    """Give every weight, bias and batch-norm statistic a value of its own, so that no two can be swapped unseen."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            randomize(layer, rng)
            continue
        values = []
        for weight in layer.weights:
            shape, name = weight.shape, weight.path.rsplit("/", 1)[-1]
            if name == "moving_variance":
                values.append(rng.uniform(0.5, 1.5, shape))
            elif name == "gamma":
                values.append(rng.uniform(0.8, 1.2, shape))
            elif name in ("beta", "bias", "moving_mean"):
                values.append(rng.normal(0, 0.1, shape))
            else:
                fan = np.prod(shape[:-1])
                values.append(rng.normal(0, np.sqrt(1.5 / fan), shape))
        layer.set_weights([np.asarray(value, np.float32) for value in values])


def encode(model, images):
    """Return the 64 numbers before the last layer, and the probability."""
    both = keras.Model(model.input, [model.layers[-2].output, model.output])
    return [np.asarray(part) for part in both.predict(images, verbose=0)]


def main(out, size):
    """Write everything."""
    rng = np.random.default_rng(7)
    answers = {}
    for name, channels in (("gray", 1), ("rgb", 3)):
        # Other models come first, as in a notebook: the automatic names do not start at nothing.
        layers.Conv2D(2, 3)
        layers.BatchNormalization()
        model = slice_model(channels, size)
        randomize(model, rng)
        images = rng.uniform(-1, 1, (2, size, size, channels)).astype(np.float32)
        answers[f"{name}_input"] = images.transpose(0, 3, 1, 2)
        answers[f"{name}_encoding"], answers[f"{name}_slice"] = encode(model, images)
        model.save(out / f"{name}.h5")
        if name == "gray":
            model.save_weights(out / "gray.weights.h5")
            backbone = keras.Model(model.input, model.layers[-5].output)
            backbone.save_weights(out / "backbone.weights.h5")
            answers["backbone_features"] = np.asarray(backbone.predict(images, verbose=0))
        else:
            model.save(out / "rgb.keras")
    nested = nested_model(size)
    randomize(nested, rng)
    images = answers["gray_input"].transpose(0, 2, 3, 1)
    answers["nested_slice"] = np.asarray(nested.predict(images, verbose=0))
    nested.save(out / "nested.h5")

    sequence = sequence_model()
    randomize(sequence, rng)
    stacks = rng.normal(0, 1, (3, 96, 64)).astype(np.float32)
    stacks[0, 80:] = 0
    answers["sequence_input"] = stacks
    answers["sequence_slice"], answers["sequence_stack"] = (np.asarray(x) for x in sequence.predict(stacks, verbose=0))
    sequence.save(out / "sequence.h5")
    sequence.save_weights(out / "sequence.weights.h5")

    images = keras.Input((32, 32, 1))
    x = layers.Conv2D(8, 3, activation="relu")(images)
    keras.Model(images, layers.Dense(1)(layers.GlobalAveragePooling2D()(x))).save(out / "other.h5")
    np.savez(out / "answers.npz", **answers)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
