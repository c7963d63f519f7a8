"""Public backbones, and models whose files are not public."""

import pytest

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.public.import_public import import_public
from AcuteFindingsLib.models.public.recommended import find_description


def test_radimagenets_backbone_is_a_part_to_train_with_whose_figures_name_their_source() -> None:
    description = find_description("hf:Lab-Rasool/RadImageNet")
    assert (description.task, description.importer, description.needs) == ("part", "densenet121", "")
    assert all(figure.source.startswith("https://") for figure in description.published)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("chexpert-densenet121", "the backbone as a file of its own"),
        ("pe-source-keras", "which the authors do not publish"),
    ],
)
def test_what_is_not_published_so_says_what_it_needs(name, told, tmp_path) -> None:
    description = find_description(name)
    with pytest.raises(ModelError, match=told):
        import_public(description, out=tmp_path / "model")
