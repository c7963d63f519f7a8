"""Draw the panels of the README: ``python Testing/Host/take_screenshots.py`` writes Resources/Screenshots/panel-*.png.

Each detector's panel is shown with the positive sample study and the model that ships, as a user meets it after Apply.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import host

OUT = host.ROOT / "Resources" / "Screenshots"
WIDTH = 420
PANELS = {
    "PEDetect": "CTPA phantom, embolism",
    "HemorrhageDetect": "Head CT phantom, hemorrhage",
    "PneumothoraxSeg": "Chest phantom, pneumothorax",
}


def take(name: str, sample_name: str | None) -> None:
    """Open a panel, run the detector on its sample, and write the picture."""
    host.renew(main_window=True)
    panel = host.open_panel(name)
    if sample_name:
        from AcuteFindingsLib.widgets.sample_data import SAMPLES, load_sample

        volume = load_sample(next(sample for sample in SAMPLES if sample.name == sample_name))
        panel.ui.inputSelector.setCurrentNode(volume)
        host.wait(1)
        host.wait_until(lambda: "…" not in panel.ui.checkLabel.text, seconds=120)
        host.click(panel.ui.applyButton)
        host.wait_until(lambda: panel.panel.result is not None, seconds=300)
    host.wait(0.5)
    native = panel.parent._native
    native.resize(WIDTH, native.sizeHint().height())
    host.screenshot(panel, OUT / f"panel-{name}.png")
    host.close_panels()


def main() -> None:
    """Take all four."""
    host.start()
    for name, sample in {"AcuteFindings": None, **PANELS}.items():
        take(name, sample)
        print(OUT / f"panel-{name}.png")
    host.stop()
    if host.errors:
        raise SystemExit(f"panels raised: {host.errors}")


if __name__ == "__main__":
    main()
