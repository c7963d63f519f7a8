"""Verifying and asking a model opens no connection."""

import socket

import numpy as np

from AcuteFindingsLib.models.find import find_id
from AcuteFindingsLib.models.torch_predictor import load_predictor


def test_a_shipped_model_is_verified_and_asked_without_a_connection(monkeypatch, tmp_path):
    tried = []

    def refuse(*arguments, **_named):
        tried.append(arguments)
        raise OSError("no connections in this test")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    package = find_id("lungs-unet-small", cache=tmp_path)
    package.verify()
    answer = load_predictor(package, device="cpu").predict(np.zeros((1, 1, 64, 64), np.float32))
    assert answer["mask"].shape == (1, 1, 64, 64)
    assert tried == []
