import numpy as np
import pytest

from AcuteFindingsLib.errors import TrainingError
from AcuteFindingsLib.training.recipes.plans import Sampler
from AcuteFindingsLib.training.runs.order import EpochOrder

RARE = np.arange(100) < 5


def order(positive=RARE, *, epochs: int = 10, seed: int = 0, **plan) -> EpochOrder:
    return EpochOrder(positive, Sampler(**plan), epochs=epochs, seed=seed)


def shown(one: EpochOrder) -> list[int]:
    return [number for number, _ in one]


def test_natural_order_shows_each_example_once() -> None:
    assert sorted(shown(order())) == list(range(100))


def test_balanced_order_shows_rare_positives_as_often_as_asked() -> None:
    numbers = shown(order(name="balanced", positive_share=0.5))
    assert np.mean(np.array(numbers) < 5) == 0.5
    assert len(numbers) == 100
    # Each positive ten times: none is left out while another comes again.
    assert set(np.bincount([n for n in numbers if n < 5])) == {10}


def test_falling_order_goes_from_the_first_share_to_the_last() -> None:
    one = order(name="falling", first_share=0.8, last_share=0.22)
    shares = []
    for epoch in range(10):
        one.set_epoch(epoch)
        shares.append(np.mean(np.array(shown(one)) < 5))
    assert (shares[0], shares[-1]) == (0.8, 0.22)
    assert shares == sorted(shares, reverse=True)


def test_an_epoch_is_the_same_whenever_it_is_asked_for() -> None:
    first, second = order(name="balanced"), order(name="balanced")
    list(first)
    for one in (first, second):
        one.set_epoch(3)
    assert list(first) == list(second)
    second.set_epoch(4)
    assert list(first) != list(second)


def test_seeds_give_different_orders() -> None:
    assert shown(order(seed=1)) != shown(order(seed=2))


def test_every_draw_has_a_number_of_its_own() -> None:
    one = order(name="balanced", examples=30)
    draws = [draw for _, draw in one]
    one.set_epoch(1)
    assert not set(draws) & {draw for _, draw in one}
    assert len(set(draws)) == 30


@pytest.mark.parametrize(("positive", "lacking"), [(np.zeros(4, bool), "positive"), (np.ones(4, bool), "negative")])
def test_a_class_that_is_not_there_is_said(positive: np.ndarray, lacking: str) -> None:
    with pytest.raises(TrainingError, match=f"none of the 4 examples to fit to is {lacking}"):
        order(positive, name="balanced")
