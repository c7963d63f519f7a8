"""Verifying and asking a model opens no connection."""

import numpy as np
import pytest

from AcuteFindingsLib.models.find import find_id
from AcuteFindingsLib.models.load import load_predictor
from AcuteFindingsLib.models.verify import verify_package


@pytest.mark.usefixtures("no_connections")
def test_a_shipped_model_is_verified_and_asked_without_a_connection(tmp_path):
    package = find_id("lungs-unet-small", cache=tmp_path)
    verify_package(package)
    answer = load_predictor(package, device="cpu").predict(np.zeros((1, 1, 192, 192), np.float32))
    assert answer["mask"].shape == (1, 1, 192, 192)
