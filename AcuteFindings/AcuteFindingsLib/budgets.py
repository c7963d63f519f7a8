"""How much a file may cost to read: limits that hold before anything is decoded, in one place."""

from dataclasses import dataclass

_MIB = 1024**2
_GIB = 1024**3


@dataclass(frozen=True)
class Budgets:
    """Limits on what files from elsewhere may ask of this machine; ours, well above any real examination.

    Attributes
    ----------
    unpacked_bytes
        Bytes that one compressed file (gz, zst, deflate, a member of an archive) may unpack to. 5,000 CT slices of
        512×512 are 2.6 GB.
    unpacked_ratio
        Unpacked bytes a packed byte; empty air compresses about 200-fold. Counts only from `ratio_counts_from` on.
    ratio_counts_from
        Unpacked bytes below which the ratio is not looked at.
    archive_members
        Files in one archive.
    archive_bytes
        Bytes that all files of an archive may unpack to.
    pixels
        Pixels of one picture or frame; the largest detector has 4,800×6,000.
    voxels
        Voxels of a volume; 1,500 slices of 1024×1024.
    frames
        Frames of one file, and images of one series.
    files
        Files below one folder.
    nesting
        Depth of JSON, YAML and DICOM sequences.
    text_bytes
        Bytes of one JSON or YAML file, and of one answer of a server to a search.
    answers
        Matches that one search of an archive may bring; a series of 20,000 images is its longest list.
    instance_bytes
        Bytes of one DICOM instance from the network, held in memory as it comes; 4,000 frames of 512×512 are 2 GiB.
    series_bytes
        Bytes that the network may bring for one series.
    pdu_bytes
        Bytes of one protocol data unit of classic DICOM (PS3.8 9.3); 16 to 128 KiB are usual.
    connections
        Connections that our receiver for C-MOVE has open at once; archives send over one to four.
    settings_bytes
        Bytes of one file of settings: a model's metadata, checksums, card or configuration. The largest shipped one
        has 20 kB.
    network_values
        Weights of one network, and values of one file of weights; the largest network here has 56 million.
    program_seconds
        Seconds that a model's own program (TorchScript, ONNX) may take for one batch, or to load, where it holds a
        loop whose end is not written in it.
    program_bytes
        Bytes of memory that such a program may take.
    table_bytes
        Bytes of one table, unpacked; that of RSNA's hemorrhage challenge has 119 MB.
    upload_bytes
        Bytes that one upload to the server may have; 5,000 CT slices of 512×512 are 2.6 GB.
    """

    unpacked_bytes: int = 4 * _GIB
    unpacked_ratio: float = 400.0
    ratio_counts_from: int = 64 * _MIB
    archive_members: int = 50_000
    archive_bytes: int = 8 * _GIB
    pixels: int = 64_000_000
    voxels: int = 1_600_000_000
    frames: int = 20_000
    files: int = 200_000
    nesting: int = 32
    text_bytes: int = 64 * _MIB
    answers: int = 50_000
    instance_bytes: int = 2 * _GIB
    series_bytes: int = 32 * _GIB
    pdu_bytes: int = 4 * _MIB
    connections: int = 10
    settings_bytes: int = 4 * _MIB
    network_values: int = 1_000_000_000
    program_seconds: float = 300.0
    program_bytes: int = 16 * _GIB
    table_bytes: int = 512 * _MIB
    upload_bytes: int = 4 * _GIB


_current = Budgets()


def budgets() -> Budgets:
    """Return the limits that hold in this process."""
    return _current


def set_budgets(limits: Budgets) -> None:
    """Hold other limits in this process from now on; for programs that start one, as the command line does."""
    global _current
    _current = limits
