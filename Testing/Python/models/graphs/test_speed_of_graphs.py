"""What ONNX Runtime needs to join operators."""

import torch

from AcuteFindingsLib.models.graphs.export import export_graphs
from AcuteFindingsLib.models.graphs.fill import fill_graph
from AcuteFindingsLib.networks import build_network


def test_a_batch_norm_follows_its_convolution_directly_so_that_both_become_one(tmp_path):
    import onnx
    import onnxruntime

    network = build_network("chest_classifier", {"backbone": "tf_efficientnet_lite0", "pathologies": ["a"]}).eval()
    exported = export_graphs(network, torch.rand(2, 1, 64, 64))[""]
    model = fill_graph(exported.graph, {name: value.numpy() for name, value in network.state_dict().items()})
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "joined.onnx")
    onnxruntime.InferenceSession(model, options)
    names = [node.op_type for node in onnx.load(tmp_path / "joined.onnx").graph.node]
    assert "BatchNormalization" not in names
    assert "Cast" not in names
    assert "Expand" not in names
