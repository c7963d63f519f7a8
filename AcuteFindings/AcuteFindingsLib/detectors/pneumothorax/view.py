"""Which view a radiograph is, as a lungs model says that knows it (docs/sources.md 6)."""

from collections.abc import Mapping

from AcuteFindingsLib.detectors.finding import Measurement
from AcuteFindingsLib.study.notice import Notice

# More likely lateral than AP and PA together. The view is a guess of a network, so the study is not refused.
_LATERAL = 0.5


def view_measurements(views: Mapping[str, float]) -> list[Measurement]:
    """Return how probable each view is; nothing for a model that does not say."""
    return [Measurement(f"View probability: {name}", value, "1") for name, value in views.items()]


def view_notices(views: Mapping[str, float]) -> list[Notice]:
    """Warn of a picture that is taken for a lateral view, whatever its header states."""
    lateral = views.get("lateral", 0.0)
    if lateral < _LATERAL:
        return []
    text = (
        f"The lungs model takes this picture for a lateral view (probability {lateral:.2f}), but the detector was made "
        "for frontal views (PA or AP); make sure that this is one."
    )
    return [Notice("looks-lateral", "warn", text)]
