"""A browser for the tests of the page, and studies to send through it."""

import io
import shutil
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from AcuteFindingsLib.phantoms.chest_xray.generate import make_chest_xray
from AcuteFindingsLib.phantoms.ctpa.generate import make_ctpa
from AcuteFindingsLib.phantoms.head_ct.generate import make_head_ct
from AcuteFindingsLib.phantoms.write_dicom import write_phantom

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
SAMPLES: dict[str, Callable[[], Any]] = {
    "head": lambda: make_head_ct(3, positive=True, matrix=192, slice_spacing=6.0),
    "chest": lambda: make_ctpa(3, positive=True, matrix=128, slice_spacing=6.0),
    "radiograph": lambda: make_chest_xray(3, positive=True),
}
WIDE, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
READ_MS, SHOWN_MS = 120_000, 60_000
# The software renderer says that reading a picture back is slow, which is what a test does.
_KNOWN = ("GPU stall due to ReadPixels",)


@contextmanager
def browser() -> Iterator[Browser]:
    """Start the browser of this computer; graphics are computed, as a test machine has no card for them."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium")
    with sync_playwright() as playwright:
        flags = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--no-sandbox"]
        # Containers often have a shared memory too small for a browser.
        flags.append("--disable-dev-shm-usage")
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        try:
            yield started
        finally:
            started.close()


@contextmanager
def opened(browser: Browser, address: str, *, faults: bool = True, **context: Any) -> Iterator[Page]:
    """Open a page of its own; with `faults` the test fails where the browser reports a fault."""
    found: list[str] = []
    about = browser.new_context(**{"viewport": WIDE, **context})
    try:
        page = about.new_page()

        def heard(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning") and not any(known in message.text for known in _KNOWN):
                found.append(message.text)

        page.on("console", heard)
        page.on("pageerror", lambda error: found.append(str(error)))
        page.goto(address)
        yield page
    finally:
        about.close()
    assert not faults or found == []


def zipped(folder: Path, target: Path) -> Path:
    """Pack the files of a folder."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path in sorted(folder.rglob("*.dcm")):
            archive.write(path, path.relative_to(folder))
    return target


def write_samples(folder: Path) -> dict[str, Path]:
    """Write one phantom of each kind as a zip of DICOM files and return the zips by name."""
    return {
        name: zipped(write_phantom(make(), folder / name) / "dicom", folder / f"{name}.zip")
        for name, make in SAMPLES.items()
    }


def send(page: Page, *files: Path) -> None:
    """Choose files to upload, as the button does."""
    page.locator("#files").set_input_files(list(files))


def shown(page: Page, *, size: int) -> np.ndarray:
    """Return the viewer's picture as ``(size, size, 3)`` in 0..255: the middle, where a square slice stands."""
    picture = Image.open(io.BytesIO(page.locator(".stage canvas").screenshot())).convert("RGB")
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    square = picture.crop((left, top, left + side, top + side)).resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(square, np.float32)
