"""Figures on phantoms that nothing was fitted or tuned on."""

from AcuteFindingsLib.training.phantom_sets import TEST_SEED


def held_out(name: str, tests: int) -> str:
    """Return in words which phantoms are kept aside; `name` says what they show."""
    return f"held-out {name} phantoms, seeds {TEST_SEED} to {TEST_SEED + tests - 1}"
