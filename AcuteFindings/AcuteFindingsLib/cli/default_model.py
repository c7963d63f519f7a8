"""Which model is used where none is named: chosen, and told."""

from typing import TYPE_CHECKING

from AcuteFindingsLib.cli.common import out_console
from AcuteFindingsLib.errors import ModelError

if TYPE_CHECKING:
    from AcuteFindingsLib.models.package import ModelPackage


def make_default(package: "ModelPackage") -> None:
    """Use a model where none is named; raises `ModelError` for a part to start training from."""
    from AcuteFindingsLib.models.default_model import set_default

    if package.card.task == "part":
        raise ModelError(f"{package.id} is a part to start training from; no detector uses it by itself.")
    set_default(package.card.task, package.id)
    out_console.print(f"{package.id} is now used for {package.card.task} if no model is named.")


def print_default(package: "ModelPackage") -> None:
    """Say how a model that was just installed or imported comes to be used."""
    from AcuteFindingsLib.models.find import list_packages, why_default

    if package.card.task == "part" or package.id in why_default(list_packages()):
        return
    out_console.print(
        f"It is used where it is named (--model {package.id}); make it the default for {package.card.task} with "
        f"`acutefindings models default {package.id}`."
    )
