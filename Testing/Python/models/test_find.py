import shutil

import pytest

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.find import DamagedPackage, default_package, find_package, list_packages


@pytest.fixture
def places(tmp_path, network, write, make_card):
    """A folder the user added, a cache and a shipped folder: the same id in all three, versions telling them apart."""
    for place in ("user", "cache", "shipped"):
        write(tmp_path / place / "tiny-test", network.state_dict(), version=place)
    write(tmp_path / "shipped" / "other", network.state_dict(), card=make_card(id="other", task="pe"))
    return {"folders": [tmp_path / "user"], "cache": tmp_path / "cache", "shipped": tmp_path / "shipped"}


def test_the_users_folder_comes_before_the_cache_and_the_cache_before_what_ships(places):
    assert [(p.id, p.version) for p in list_packages(**places)] == [("tiny-test", "user"), ("other", "0.1.0")]
    assert find_package("tiny-test", **places).version == "user"
    del places["folders"]
    assert find_package("tiny-test", **places).version == "cache"
    shutil.rmtree(places["cache"])
    assert find_package("tiny-test", **places).version == "shipped"


def test_a_package_itself_may_be_named_as_a_place_or_instead_of_an_id(places):
    folder = places["shipped"] / "tiny-test"
    assert list_packages(**{**places, "folders": [folder]})[0].version == "shipped"
    assert find_package(folder, **places).version == "shipped"
    assert find_package(str(folder), **places).version == "shipped"


def test_a_damaged_package_is_listed_with_its_error_and_does_not_hide_a_whole_one(places):
    (places["folders"][0] / "tiny-test" / "checksums.json").write_text("{")
    (places["shipped"] / "broken" / "configs").mkdir(parents=True)
    packages = list_packages(**places)
    assert [(p.id, p.version) for p in packages[:2]] == [("tiny-test", "cache"), ("other", "0.1.0")]
    assert [type(p) for p in packages[2:]] == [DamagedPackage, DamagedPackage]
    assert "not valid JSON" in packages[2].error
    assert "metadata.json is missing" in packages[3].error
    with pytest.raises(ModelError, match=r"metadata\.json is missing"):
        find_package("broken", **places)


def test_the_default_is_the_first_one_for_the_task(places):
    assert default_package("hemorrhage", **places).version == "user"
    assert default_package("pe", **places).id == "other"
    with pytest.raises(ModelError, match="No model for 'lungs' is installed"):
        default_package("lungs", **places)


def test_an_unknown_id_is_answered_with_the_ones_that_would_do(places):
    with pytest.raises(ModelError, match="no model 'nope'; choose one of: tiny-test"):
        find_package("nope", task="hemorrhage", **places)


def test_a_model_for_another_task_is_refused(places):
    with pytest.raises(ModelError, match="made for 'pe', not for 'hemorrhage'"):
        find_package("other", task="hemorrhage", **places)


def test_other_folders_and_hidden_partial_ones_are_passed_over(places):
    (places["cache"] / "downloads").mkdir()
    shutil.copytree(places["cache"] / "tiny-test", places["cache"] / ".1a2b.partial.more")
    assert len(list_packages(cache=places["cache"], shipped=places["cache"])) == 1


def test_a_place_that_is_not_there_is_named(places):
    with pytest.raises(ModelError, match="nowhere is not a folder"):
        list_packages(**{**places, "folders": ["nowhere"]})
