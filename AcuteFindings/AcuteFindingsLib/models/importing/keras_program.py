"""Run by an interpreter that has Keras: build a network of docs/sources.md 1, load a file into it, and answer.

    python keras_program.py SPECIFICATION.json INPUT.npy OUTPUT.npz

Keras builds the layers and reads the weights; nothing of the file is run. Needs Keras and NumPy alone, so that the
interpreter can be any.
"""

import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path

if "KERAS_BACKEND" not in os.environ and find_spec("torch") is not None:
    os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np

layers = keras.layers


def inception(spec):
    """Return images and feature maps of InceptionResNetV2."""
    shape = (spec["size"], spec["size"], spec["channels"])
    model = keras.applications.InceptionResNetV2(include_top=False, weights=None, input_shape=shape)
    if spec["nested"]:
        images = keras.Input(shape)
        return images, model(images, training=False)
    return model.input, model.output


def backbone(spec):
    """InceptionResNetV2 with or without classes; its features."""
    images, maps = inception(spec)
    features = layers.GlobalAveragePooling2D()(maps)
    last = features
    for units in spec["dense"]:
        last = layers.Dense(units)(last)
    return keras.Model(images, last), keras.Model(images, features), ["features"]


def slices(spec):
    """The slice model; its encoding and probability."""
    images, maps = inception(spec)
    x = layers.GlobalAveragePooling2D()(maps)
    x = layers.Dropout(0.2)(layers.Dense(spec["hidden"], activation="relu")(x))
    encoding = layers.Dense(spec["encoding"])(x)
    answer = layers.Dense(1, activation="sigmoid")(encoding)
    return keras.Model(images, answer), keras.Model(images, [encoding, answer]), ["encoding", "slice"]


def sequence(spec):
    """The sequence model; its probabilities."""
    stack = keras.Input((spec["length"], spec["encoding"]))
    x = layers.BatchNormalization()(stack)
    x = layers.Bidirectional(layers.LSTM(spec["hidden"], return_sequences=True))(x)
    for units in spec["dense"]:
        x = layers.TimeDistributed(layers.Dense(units, activation="relu"))(x)
    each = layers.TimeDistributed(layers.Dense(1, activation="sigmoid"))(x)
    flat = layers.Reshape((spec["length"],))(each)
    model = keras.Model(stack, [each, layers.Dense(1, activation="sigmoid")(layers.Dropout(0.05)(flat))])
    return model, model, ["slice", "stack"]


def main(specification, batch, answers):
    """Answer one specification."""
    spec = json.loads(Path(specification).read_text(encoding="utf-8"))
    model, answering, names = {"backbone": backbone, "slices": slices, "sequence": sequence}[spec["network"]](spec)
    model.load_weights(spec["file"])
    outputs = answering.predict(np.load(batch), verbose=0)
    outputs = outputs if isinstance(outputs, list) else [outputs]
    values = [np.asarray(value) for value in outputs]
    values = [
        value[..., 0] if name == "slice" and value.ndim == 3 else value
        for name, value in zip(names, values, strict=True)
    ]
    np.savez(answers, version=keras.__version__, **dict(zip(names, values, strict=True)))


if __name__ == "__main__":
    main(*sys.argv[1:])
