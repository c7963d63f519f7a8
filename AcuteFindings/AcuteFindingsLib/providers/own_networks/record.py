"""What is kept of a network that was added: where it lies, what it holds, and what its program is told."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from AcuteFindingsLib.errors import ModelError, ProviderError
from AcuteFindingsLib.files import replace_when_written
from AcuteFindingsLib.models.files import file_sha256, read_text
from AcuteFindingsLib.names import detector_name

FILE = "network.json"

Form = Literal["nnunet", "monai-bundle-3d"]


class Record(BaseModel):
    """A network of the user's own.

    Attributes
    ----------
    form
        What the folder is.
    folder
        Where it lies; it is used where it is, not copied.
    files
        SHA-256 of each file that is used, by its path below `folder`; the weights come last.
    weights
        How many of `files` are weights.
    task
        The detector that its masks answer for.
    network
        What it is called in the model card: ``"nnU-Net, ResidualEncoderUNet"``.
    drawn
        What its masks show, in the folder's own words.
    orientation
        Where the axes ``(x, y, z)`` of the images run that the network is shown: ``"LPS"``, as in DICOM.
    program
        What the program in `children` is told beside the study.
    rule
        As `detectors.volume_rule.VolumeRule` has it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    form: Form
    folder: Path
    files: dict[str, str] = Field(min_length=1)
    weights: int = Field(ge=1)
    task: str
    network: str
    drawn: str
    orientation: str = Field(default="LPS", pattern="^[LR][AP][IS]$")
    program: dict[str, Any]
    rule: dict[str, float] = Field(default_factory=dict)

    @property
    def sha256(self) -> str:
        """Return what stands for the weights in results: the checksum of the file, or of all files' checksums."""
        import hashlib

        sums = list(self.files.values())[-self.weights :]
        return sums[0] if len(sums) == 1 else hashlib.sha256("".join(sums).encode()).hexdigest()

    def verify(self) -> None:
        """Raise `ProviderError` where a file is missing or is not the one that was added."""
        for name, known in self.files.items():
            path = self.folder / name
            try:
                now = file_sha256(path)
            except OSError as error:
                raise ProviderError(
                    f"{path} of the network cannot be read ({error.strerror or error}): put the folder back, or remove "
                    "the network with `acutefindings providers remove` and add it from where it is."
                ) from error
            if now != known:
                raise ProviderError(
                    f"{path} is not the file that was added. If that was meant, remove the network with `acutefindings "
                    "providers remove` and add it again."
                )


def checksums(folder: Path, names: list[str]) -> dict[str, str]:
    """Return the SHA-256 of files below a folder, in the order of `names`."""
    return {name: file_sha256(folder / name) for name in names}


def read_record(place: Path) -> Record:
    """Read the record that lies in a folder of settings; raises `ProviderError` where it is damaged."""
    file = place / FILE
    try:
        record = Record.model_validate_json(read_text(file))
        detector_name(record.task)
    except (ModelError, ValidationError, ValueError) as error:
        raise ProviderError(
            f"{file} cannot be used ({' '.join(str(error).split())[:200]}); delete its folder and add the network "
            "again."
        ) from error
    return record


def write_record(record: Record, terms: Mapping[str, Any], place: Path) -> None:
    """Write a record and its terms as the folder `place`, whole or not at all."""
    import json

    with replace_when_written(place) as partial:
        partial.mkdir()
        (partial / FILE).write_text(record.model_dump_json(indent=2), encoding="utf-8")
        (partial / "terms.json").write_text(json.dumps(dict(terms), indent=2), encoding="utf-8")
