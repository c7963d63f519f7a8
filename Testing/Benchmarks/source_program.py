"""Runs in the environment that has TensorFlow: the PE source's evaluation of a folder, rebuilt from its description.

    python source_program.py STUDY SLICES.h5 SEQUENCE.h5 TABLE.csv

docs/sources.md 1: axial images of 3 mm are taken by their headers; of the first 96, lungs and heart are found on
the window -500/1400, the rest is made zero on the window 100/700, and it is resized to 386 x 386. Keras' `predict`
gives the encodings in its own batches of 32, and the answers for slices and stack go into a table. No heat map,
no report. Prints the seconds of its parts as one line of JSON.
"""

import json
import os
import sys
from pathlib import Path
from time import perf_counter

STARTED = perf_counter()
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"

import cv2  # noqa: E402
import keras  # noqa: E402
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import pydicom  # noqa: E402
from keras.src.applications.inception_resnet_v2 import CustomScaleLayer  # noqa: E402
from scipy import ndimage  # noqa: E402

SLICES, SIZE, ENCODING = 96, 386, 64
WINDOW, LUNG_WINDOW = (100, 700), (-500, 1400)
THICKNESS = (2.95, 3.05)
WIDEST_WINDOW = 700
AXIAL = np.array([1, 0, 0, 0, 1, 0], float)
CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
# A body at 512 x 512: pixels, and where its middle lies (y, x).
BODY_PIXELS = (50_000, 300_000)
BODY_MIDDLE = ((190, 360), (190, 310))
SMALLEST_PART, FLATTEST_PART = 0.001, 0.35


def images_of_series(folder):
    """Return the files of the images that the models are made for, by Instance Number."""
    rows = []
    for path in sorted(folder.rglob("*.dcm")):
        header = pydicom.dcmread(path, stop_before_pixels=True)
        wanted = (
            THICKNESS[0] < float(header.SliceThickness) < THICKNESS[1]
            and header.SOPClassUID == CT_IMAGE_STORAGE
            and np.linalg.norm(np.asarray(header.ImageOrientationPatient, float) - AXIAL) < 0.05
            and float(header.WindowWidth) < WIDEST_WINDOW
        )
        if wanted:
            rows.append((str(path), int(header.InstanceNumber)))
    return pd.DataFrame(rows, columns=["file", "number"]).sort_values("number")


def windowed(hu, level, width):
    """Return 0..255 by the formula of DICOM PS3.3 C.11.2.1.2."""
    low, high = level - 0.5 - (width - 1) / 2, level - 0.5 + (width - 1) / 2
    inside = [hu <= low, hu > high]
    return np.piecewise(hu, inside, [0, 255, lambda x: ((x - (level - 0.5)) / (width - 1) + 0.5) * 255]).astype(
        np.uint8
    )


def body(bright):
    """Return the first connected part that has a body's size and place, without its holes."""
    count, parts = cv2.connectedComponents(bright)
    for number in range(1, count):
        part = np.where(parts == number, 255, 0).astype(np.uint8)
        middle = ndimage.center_of_mass(part)
        fits = all(low < at < high for at, (low, high) in zip(middle, BODY_MIDDLE, strict=True))
        if fits and BODY_PIXELS[0] < np.count_nonzero(part) < BODY_PIXELS[1]:
            outlines, _ = cv2.findContours(part, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
            return cv2.drawContours(np.zeros_like(part), [max(outlines, key=len)], -1, 255, cv2.FILLED)
    return np.zeros_like(bright)


def lungs_and_heart(gray):
    """Return the convex hull of what is dark inside the body, 0 or 255."""
    kernel = np.ones((3, 3), np.uint8)
    _, bright = cv2.threshold(gray, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    dark = cv2.medianBlur(cv2.bitwise_and(255 - bright, body(bright)), 5)
    closed = cv2.morphologyEx(dark, cv2.MORPH_CLOSE, kernel, iterations=8)
    _, lungs = cv2.threshold(cv2.bitwise_and(gray, closed), 1, 255, cv2.THRESH_BINARY)
    count, parts, sizes, _ = cv2.connectedComponentsWithStats(lungs, connectivity=8)
    for number in range(1, count):
        width, height, pixels = sizes[number][[cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT, cv2.CC_STAT_AREA]]
        if pixels < SMALLEST_PART * gray.size or width / height < FLATTEST_PART:
            lungs[parts == number] = 0
    lungs = cv2.dilate(cv2.erode(lungs, kernel), kernel, iterations=3)
    outlines, _ = cv2.findContours(lungs, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    if not outlines:
        return np.zeros_like(gray)
    return cv2.drawContours(np.zeros_like(gray), [cv2.convexHull(np.concatenate(outlines))], -1, 255, cv2.FILLED)


def picture(path):
    """Return one image as the slice model takes it, (386, 386) in -1..1."""
    image = pydicom.dcmread(path)
    hu = image.pixel_array.astype(np.float32) * float(image.RescaleSlope) + float(image.RescaleIntercept)
    shown = cv2.bitwise_and(windowed(hu, *WINDOW), lungs_and_heart(windowed(hu, *LUNG_WINDOW)))
    return cv2.resize(shown, (SIZE, SIZE)).astype(np.float32) / 127.5 - 1


def main(study, slices, sequence, table):
    """Evaluate."""
    clocks = {"import": perf_counter() - STARTED}

    def lap(name, since):
        clocks[name] = perf_counter() - since
        return perf_counter()

    clock = perf_counter()
    slice_model = keras.models.load_model(slices, custom_objects={"CustomScaleLayer": CustomScaleLayer})
    encoder = keras.Model(slice_model.input, slice_model.layers[-2].output)
    sequence_model = keras.models.load_model(sequence)
    clock = lap("load", clock)
    rows = images_of_series(study)
    stack = np.zeros((SLICES, SIZE, SIZE, 1), np.float32)
    for place, path in enumerate(rows["file"][:SLICES]):
        stack[place, ..., 0] = picture(path)
    clock = lap("prepare", clock)
    encodings = encoder.predict(stack, verbose=0)
    clock = lap("slices", clock)
    by_slice, whole = sequence_model.predict(encodings.reshape(1, SLICES, ENCODING), verbose=0)
    clock = lap("sequence", clock)
    rows = rows[:SLICES].assign(slice=np.ravel(by_slice)[: len(rows)], stack=float(np.ravel(whole)[0]))
    rows.to_csv(table, index=False)
    lap("table", clock)
    print(json.dumps({"images": len(rows), "positive": int((rows["slice"] >= 0.5).sum()), "seconds": clocks}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4])
