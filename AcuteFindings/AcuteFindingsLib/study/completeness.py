"""Whether all images are here that the headers of a series speak of."""

from collections.abc import Sequence

from AcuteFindingsLib.study.dicom_frames import Frame, number
from AcuteFindingsLib.study.notice import Notice


def incomplete_notices(frames: Sequence[Frame], everything: Sequence[Frame]) -> tuple[Notice, ...]:
    """Warn where a header states more images than there are.

    Number of Series Related Instances (0020,1209) counts the images of a series; Images in Acquisition (0020,1002)
    those of an acquisition, whatever series they are in, and is believed only where no image has a higher number.

    Parameters
    ----------
    frames
        The images of the series that is read.
    everything
        All images of the input.
    """
    first = frames[0]
    if first.header.get("NumberOfFrames", 1) > 1:
        return ()
    series, study = (str(first.header.get(keyword) or "") for keyword in ("SeriesInstanceUID", "StudyInstanceUID"))
    stated = number(first.header.get("NumberOfSeriesRelatedInstances"))
    alike = [one for one in everything if str(one.header.get("SeriesInstanceUID") or "") == series]
    if stated is None:
        stated = number(first.header.get("ImagesInAcquisition"))
        acquisition = first.header.get("AcquisitionNumber")
        alike = [
            one
            for one in everything
            if str(one.header.get("StudyInstanceUID") or "") == study
            and one.header.get("AcquisitionNumber") == acquisition
        ]
        if stated is not None and any((one.instance_number or 0) > stated for one in alike):
            return ()
    here = len({one.file for one in alike})
    if stated is None or stated <= here:
        return ()
    text = (
        f"The header states {stated:.0f} images, but {here} are here: the copy is incomplete and what lies outside "
        "is not looked at. Export the study again."
    )
    return (Notice("incomplete-copy", "warn", text),)
