from AcuteFindingsLib.training.first_arrays import PATHOLOGIES, TUBES, chest_xray_arrays


def test_a_radiograph_gives_its_picture_masks_and_labels() -> None:
    arrays = chest_xray_arrays(3, settings={"size": 64}, size=128)
    assert arrays["image"].shape == arrays["pneumothorax"].shape == arrays["lungs"].shape == (64, 64)
    assert arrays["pathologies"].shape == (len(PATHOLOGIES),)
    assert arrays["tubes"].shape == (len(TUBES),)
    assert arrays["image"].max() == 255
    assert arrays["lungs"].any()
