"""Files that are in a folder twice, told apart from different images with one identifier."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence

from AcuteFindingsLib.study.dicom_files import MALFORMED, read_pixel_dataset
from AcuteFindingsLib.study.dicom_frames import Frame
from AcuteFindingsLib.study.dicom_identity import patient_of, series_of


def without_copies(frames: Sequence[Frame]) -> tuple[list[Frame], Counter[str]]:
    """Return each image once, and how many copies were left out of each series (by Series Instance UID).

    Images with one SOP Instance UID are copies where place, number and pixels agree as well; else they are different
    images, whatever the identifier says. Pixels are read only of images that agree in everything before.
    """
    alike: dict[Hashable, list[Frame]] = defaultdict(list)
    for frame in frames:
        place = None if frame.position is None else tuple(frame.position.round(2).tolist())
        identity = (patient_of(frame), series_of(frame), frame.sop_instance_uid, frame.number)
        alike[(*identity, place, frame.location_mm, frame.instance_number, frame.shape)].append(frame)
    kept: list[Frame] = []
    copies: Counter[str] = Counter()
    for group in alike.values():
        own = [group[0]] if len(group) == 1 else _different(group)
        kept += own
        if len(own) < len(group):
            copies[series_of(group[0])] += len(group) - len(own)
    return kept, copies


def same_pixels(one: Frame, other: Frame) -> bool:
    """Whether two images hold the same stored pixels; of two encodings of one image the answer is no."""
    return one.shape == other.shape and _digest(one) == _digest(other)


def _different(frames: Sequence[Frame]) -> list[Frame]:
    """Return one of each picture; what is stored in another encoding counts as a copy of its twin."""
    first_of: dict[str, tuple[str, Frame]] = {}
    syntaxes: set[str] = set()
    for frame in frames:
        syntax = str(getattr(frame.header, "file_meta", {}).get("TransferSyntaxUID", ""))
        if first_of and syntax not in syntaxes and len({name for name, _ in first_of.values()}) == len(first_of):
            syntaxes.add(syntax)
            continue
        syntaxes.add(syntax)
        first_of.setdefault(_digest(frame), (syntax, frame))
    return [frame for _, frame in first_of.values()]


def _digest(frame: Frame) -> str:
    """Return a hash of the encoded pixels; of a damaged file its name, as it is like no other."""
    try:
        pixels = read_pixel_dataset(frame.file).get("PixelData") or b""
    except (OSError, *MALFORMED):
        return str(frame.file)
    return f"{hashlib.blake2b(pixels, digest_size=16).hexdigest()} {frame.number}"
