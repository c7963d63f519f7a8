"""One network in one runtime, in a process of its own: ``python answer_rounds.py SPEC.json``; `rounds.Child` starts it.

Loads what the spec names, answers once, says so as a line of JSON, and then answers once more for each line on standard
input, with the seconds it took. Runs in the project's environment and in those of `environments`, so it imports only
what its runtime needs.
"""

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter

import numpy as np

# A block of the left matrix that stays in the cache: the roof is what a processor computes, not what memory delivers.
_BLOCK_VALUES = 2**19


def by_library(spec):
    """Answer as the library does, by PyTorch or ONNX Runtime."""
    from AcuteFindingsLib.models.load import load_predictor
    from AcuteFindingsLib.models.package import read_package

    batch = np.load(spec["input"])
    predictor = load_predictor(
        read_package(Path(spec["package"])), device=spec.get("device", "cpu"), runtime=spec["runtime"]
    )
    if spec["runtime"] == "torch":
        import torch

        said = f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads, channels last"
    else:
        import onnxruntime

        said = f"ONNX Runtime {onnxruntime.__version__}, device {predictor.device}"
    return said, lambda: predictor.predict(batch, part=spec["part"])


def by_openvino(spec):
    """Answer by ONNX Runtime with the OpenVINO provider on the processor, in single precision."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    settings = {"device_type": "CPU", "precision": "FP32", "num_of_threads": str(os.cpu_count())}
    session = onnxruntime.InferenceSession(
        spec["model"], options, providers=[("OpenVINOExecutionProvider", settings), "CPUExecutionProvider"]
    )
    if "OpenVINOExecutionProvider" not in session.get_providers():
        raise RuntimeError("the OpenVINO provider could not be loaded")
    (taken,) = session.get_inputs()
    batch, names = np.load(spec["input"]), spec["outputs"]
    said = f"ONNX Runtime {onnxruntime.__version__} with its OpenVINO provider"
    return said, lambda: dict(zip(names, session.run(names, {taken.name: batch}), strict=True))


def by_onnx_file(spec):
    """Answer from a model file by plain ONNX Runtime on the processor."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(spec["model"], options, providers=["CPUExecutionProvider"])
    (taken,) = session.get_inputs()
    batch, names = np.load(spec["input"]), spec["outputs"]
    said = f"ONNX Runtime {onnxruntime.__version__}"
    return said, lambda: dict(zip(names, session.run(names, {taken.name: batch}), strict=True))


def by_keras(spec):
    """Answer by Keras on TensorFlow: `predict` in its own batches of 32, as the PE source does."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras
    import tensorflow
    from keras.src.applications.inception_resnet_v2 import CustomScaleLayer

    model = keras.models.load_model(spec["model"], custom_objects={"CustomScaleLayer": CustomScaleLayer})
    encoder = keras.Model(model.input, model.layers[-2].output)
    batch = np.ascontiguousarray(np.load(spec["input"]).transpose(0, 2, 3, 1))
    said = f"Keras {keras.__version__} on TensorFlow {tensorflow.__version__}"
    return said, lambda: {"encoding": encoder.predict(batch, verbose=0)}


def products(spec):
    """Compute the matrix products that a network's convolutions are, by the library that the spec names.

    Each is the product of a block of rows that fits the cache, as often as it takes to make all rows, and each thread
    makes its own blocks by itself: what a direct convolution saves by not writing the left matrix out, and what threads
    lose by waiting for each other, is granted to the roof.
    """
    rng = np.random.default_rng(3)
    multiply = {"numpy": _by_numpy, "torch": _by_torch, "onnxruntime": _by_matmul}[spec["library"]]
    threads = os.cpu_count() or 1

    def prepare():
        calls = []
        for rows, inner, columns, count in spec["products"]:
            block = max(1, min(rows, _BLOCK_VALUES // max(inner, columns)))
            left = rng.normal(size=(block, inner)).astype(np.float32)
            right = rng.normal(size=(inner, columns)).astype(np.float32)
            calls.append((multiply(left, right), count * rows / block / threads))
        return calls

    def own_share(calls):
        # The last block of a product is not a whole one.
        total = 0.0
        for call, times in calls:
            whole = max(1, int(times))
            clock = perf_counter()
            for _ in range(whole):
                call()
            total += (perf_counter() - clock) * times / whole
        return total

    shares = [prepare() for _ in range(threads)]
    pool = ThreadPoolExecutor(threads)
    return f"matrix products by {spec['library']}", lambda: max(pool.map(own_share, shares))


def _by_numpy(left, right):
    out = np.empty((len(left), right.shape[1]), np.float32)
    return lambda: np.matmul(left, right, out=out)


def _by_torch(left, right):
    import torch

    torch.set_num_threads(1)
    a, b = torch.from_numpy(left), torch.from_numpy(right)
    out = torch.empty(len(left), right.shape[1])
    return lambda: torch.mm(a, b, out=out)


def _by_matmul(left, right):
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    shapes = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, None]) for name in ("a", "y")]
    node = helper.make_node("MatMul", ["a", "b"], ["y"])
    graph = helper.make_graph([node], "product", shapes[:1], shapes[1:], [numpy_helper.from_array(right, "b")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"a": left})


RUNTIMES = {
    "torch": by_library,
    "onnx": by_library,
    "openvino": by_openvino,
    "onnx-file": by_onnx_file,
    "keras": by_keras,
    "products": products,
}


def main(spec):
    """Load, answer once, and then whenever asked."""
    said, answer = RUNTIMES[spec["runtime"]](spec)
    first = answer()
    if "answers" in spec:
        np.savez(spec["answers"], **{name: first[name] for name in spec["outputs"]})
    print(json.dumps({"runtime": said}), flush=True)
    for _ in sys.stdin:
        clock = perf_counter()
        own = answer()
        seconds = perf_counter() - clock
        print(json.dumps({"seconds": own if isinstance(own, float) else seconds}), flush=True)


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
