"""The page in a browser, against a server that reads: what a radiologist does, from the upload to the answer."""

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("fastapi")
pytest.importorskip("playwright")

import httpx
import pydicom
from page_browser import PHONE, READ_MS, SHOWN_MS, browser, opened, send, shown, write_samples
from playwright.sync_api import Browser, Page, expect
from served import start


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as started:
        yield started


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_samples(tmp_path_factory.mktemp("samples"))


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a server with the real reader is."""
    results = tmp_path_factory.mktemp("served") / "results"
    serve = f"import sys; sys.argv[1:] = ['serve', '--port', '0', '--results', {str(results)!r}]"
    running = start(results, "-c", f"{serve}; from AcuteFindingsLib.cli import main; main()")
    yield running.address
    running.stop()


@pytest.fixture(scope="module")
def read(chromium: Browser, address: str, samples: dict[str, Path]) -> dict[str, str]:
    """Send every sample through the page and return the ids of the studies by the samples' names."""
    found: dict[str, str] = {}
    with opened(chromium, address) as page:
        for name, path in samples.items():
            send(page, path)
            job = page.locator(".job.done").nth(len(found))
            job.wait_for(timeout=READ_MS)
            link = page.locator(".job.done").first.get_by_role("link", name="Open")
            found[name] = (link.get_attribute("href") or "").rpartition("/")[2]
    return found


def _study(page: Page, address: str, key: str) -> Page:
    """Open a study and wait until its images and what is laid over them are shown."""
    page.goto(f"{address}#/studies/{key}")
    page.locator("canvas[data-layers]").wait_for(timeout=SHOWN_MS)
    return page


def _ask(address: str, path: str) -> dict:
    return httpx.get(f"{address}api/v1/{path}").raise_for_status().json()


@pytest.mark.parametrize("name", ["head", "chest", "radiograph"])
def test_an_uploaded_study_shows_its_verdict_with_rule_and_stands_on_the_list(chromium, address, read, name):
    item, finding = _ask(address, f"studies/{read[name]}"), _ask(address, f"studies/{read[name]}/finding")
    with opened(chromium, address) as page:
        row = page.locator(f"tr[data-key='{item['id']}']")
        expect(row).to_contain_text(item["finding_words"])
        expect(row).to_contain_text(item["verdict"])
        row.get_by_role("link").click()
        verdict = page.locator(".verdict")
        expect(verdict.get_by_role("heading")).to_contain_text(finding["verdict"]["label"])
        expect(verdict).to_contain_text(finding["verdict"]["rule"])
        for warning in finding["warnings"]:
            expect(page.get_by_text(warning["text"])).to_be_visible()
        for one in _ask(address, f"studies/{read[name]}/sheet")["measurements"]:
            expect(page.get_by_role("rowheader", name=one["name"], exact=True).first).to_be_visible()
        expect(page.get_by_text(finding["model"]["trained_on"])).to_be_visible()
        page.locator("canvas[data-layers]").wait_for(timeout=SHOWN_MS)


def test_slices_stand_as_in_radiology_in_the_window_that_is_chosen(chromium, address, read, samples, tmp_path):
    with zipfile.ZipFile(samples["head"]) as archive:
        archive.extractall(tmp_path)
    files = sorted(
        (pydicom.dcmread(path) for path in tmp_path.glob("*.dcm")), key=lambda one: one.ImagePositionPatient[2]
    )
    volume = np.stack([one.pixel_array * float(one.RescaleSlope) + float(one.RescaleIntercept) for one in files])
    slices = _ask(address, f"studies/{read['head']}/finding")["slices"]
    with opened(chromium, address) as page:
        _study(page, address, read["head"])
        page.keyboard.press("o")
        for key, (level, width) in {"1": (40, 80), "4": (600, 2800)}.items():
            page.keyboard.press(key)
            expect(page.locator(".window-text")).to_have_text(f"L {level} W {width} HU")
            page.wait_for_timeout(300)
            place = int(page.locator("canvas").get_attribute("data-slice") or "")
            seen = shown(page, size=volume.shape[1])[..., 0]
            low = level - width / 2
            expected = np.clip((volume - low) / width, 0, 1) * 255

            def like(image: np.ndarray, seen: np.ndarray = seen) -> float:
                # Without the edges, where letters stand.
                inner = np.s_[16:-16, 16:-16]
                return float(np.corrcoef(seen[inner].ravel(), image[inner].ravel())[0, 1])

            k = round(slices[place]["k"])
            right = like(expected[k])
            # A slice of an axial CT is stored as it is looked at: from the feet, the patient's right on the left.
            assert right > 0.97
            assert right > max(
                like(expected[k][:, ::-1]), like(expected[k][::-1]), like(expected[k + 1]), like(expected[k - 1])
            )


def test_marked_regions_are_outlined_and_can_be_taken_away(chromium, address, read):
    def red(page: Page) -> int:
        picture = shown(page, size=400)
        return int((picture[..., 0] - picture[..., 1] > 60).sum())

    with opened(chromium, address) as page:
        _study(page, address, read["head"])
        expect(page.locator(".legend-over li:visible")).to_have_text(["Hemorrhage"])
        page.wait_for_timeout(300)
        assert red(page) > 30
        page.keyboard.press("o")
        expect(page.locator("canvas")).to_have_attribute("data-layers", "")
        page.wait_for_timeout(300)
        assert red(page) == 0
        expect(page.get_by_role("button", name="Overlay")).to_have_attribute("aria-pressed", "false")


def test_chart_slider_keys_and_wheel_move_the_same_slice(chromium, address, read):
    finding = _ask(address, f"studies/{read['head']}/finding")
    many = len(finding["slices"])
    first, _ = finding["positive_runs"][0]
    with opened(chromium, address) as page:
        _study(page, address, read["head"])
        slider, canvas, cursor = (
            page.get_by_role("slider", name="Slice"),
            page.locator("canvas"),
            page.locator(".cursor"),
        )

        def at(place: int) -> None:
            expect(slider).to_have_value(str(place + 1))
            expect(canvas).to_have_attribute("data-slice", str(place))
            expect(slider).to_have_attribute("aria-valuetext", re.compile(rf"^Slice {place + 1} of {many}, "))

        chart = page.locator(".plot-place")
        box = chart.bounding_box()
        assert box is not None
        # Within the axes, which leave 34 pixels on the left and 12 on the right.
        step = (box["width"] - 46) / many
        chart.click(position={"x": 34 + 4.5 * step, "y": 60})
        at(4)
        before = float(cursor.get_attribute("x1") or 0)
        page.keyboard.press("ArrowDown")
        at(5)
        assert float(cursor.get_attribute("x1") or 0) == pytest.approx(before + step, abs=1)
        page.keyboard.press("ArrowUp")
        at(4)
        canvas.hover()
        page.mouse.wheel(0, 60)
        at(5)
        slider.fill("1")
        at(0)
        page.keyboard.press("n")
        at(first)
        expect(page.locator(".readout")).to_contain_text("positive")
        page.get_by_role("button", name=re.compile(r"^Slices? \d")).first.click()
        at(first)


def test_a_click_in_another_plane_moves_slice_and_chart(chromium, address, read):
    with opened(chromium, address) as page:
        _study(page, address, read["chest"])
        page.keyboard.press("v")
        expect(page.get_by_role("button", name="3 planes")).to_have_attribute("aria-pressed", "true")
        slider = page.get_by_role("slider", name="Slice")
        before = slider.input_value()
        box = page.locator("canvas").bounding_box()
        assert box is not None
        seen = {before}
        for x in (0.2, 0.5, 0.8):
            for y in (0.2, 0.4, 0.6, 0.8):
                page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])
                seen.add(slider.input_value())
        assert len(seen) > 2


def test_an_answer_by_key_is_kept_with_the_reader_and_seen_in_another_browser(chromium, address, read):
    key = read["radiograph"]
    with opened(chromium, address) as page, opened(chromium, address) as other:
        row = other.locator(f"tr[data-key='{key}']")
        expect(row).not_to_contain_text("QZ")
        page.goto(f"{address}#/studies/{key}")
        page.get_by_label("Reader").fill("QZ")
        # Letters that are typed are letters, not answers.
        page.get_by_label("Note").fill("dua")
        page.locator("h1").click()
        page.keyboard.press("a")
        expect(page.get_by_text("Answered: agree, QZ.")).to_be_visible()
        expect(page.get_by_role("button", name="Agree", exact=False).first).to_have_attribute("aria-pressed", "true")
        expect(row).to_contain_text("agree, QZ", timeout=10_000)
    item = _ask(address, f"studies/{key}")
    assert (item["answer"], item["reader"], item["note"]) == ("agree", "QZ", "dua")


def test_a_radiograph_names_its_sides_alone_and_has_no_slices(chromium, address, read):
    with opened(chromium, address) as page:
        _study(page, address, read["radiograph"])
        assert page.locator(".side").all_inner_texts() == ["R", "L"]
        left, right = (page.locator(f".side.{side}").bounding_box() for side in "RL")
        assert left is not None
        assert right is not None
        assert left["x"] < right["x"]
        expect(page.get_by_role("slider")).to_have_count(0)
        expect(page.locator(".plot-place")).to_have_count(0)


def test_heat_lies_where_the_network_looked_and_tints_nothing_else(chromium, address, read):
    def red(page: Page) -> np.ndarray:
        page.wait_for_timeout(300)
        picture = shown(page, size=200)
        return picture[..., 0] - picture[..., 2] > 30

    with opened(chromium, address) as page:
        _study(page, address, read["radiograph"])
        page.keyboard.press("o")
        expect(page.locator("canvas")).to_have_attribute("data-layers", "")
        before = red(page)
        page.keyboard.press("h")
        expect(page.locator("canvas")).to_have_attribute("data-layers", "heatmap")
        expect(page.locator(".legend-over li:visible")).to_have_count(1)
        heat = red(page) & ~before
        assert 0.02 < heat.mean() < 0.6
        # The pneumothorax of this phantom is the patient's left, on the right of the picture.
        assert heat[:, 100:].sum() > heat[:, :100].sum()
        assert not heat[:20, :20].any()


def test_a_broken_zip_fails_with_a_sentence_and_a_study_that_does_not_fit_is_refused(
    chromium, address, samples, tmp_path
):
    broken = tmp_path / "broken.zip"
    broken.write_bytes(samples["head"].read_bytes()[:40_000])
    few = tmp_path / "few.dcm"
    with zipfile.ZipFile(samples["chest"]) as archive:
        few.write_bytes(archive.read(archive.namelist()[0]))
    with opened(chromium, address) as page:
        ended = page.locator(".job.failed, .job.refused")
        for count, path in enumerate((broken, few), 1):
            page.locator("#upload-detector").select_option("pe")
            send(page, path)
            ended.nth(count - 1).wait_for(timeout=READ_MS)
            sentence = ended.first.locator(".job-text").inner_text()
            assert re.search(r"\w\.( \[[\w-]+\])?$", sentence)
            assert str(tmp_path) not in sentence
        refused = next(item for item in _ask(address, "studies")["studies"] if item["state"] == "refused")
        page.goto(f"{address}#/studies/{refused['id']}")
        expect(page.get_by_role("alert")).to_contain_text(refused["said"])
        page.get_by_role("link", name="Back to the worklist").click()
        expect(page.get_by_role("heading", name="Worklist")).to_be_visible()


def test_the_list_is_filtered_and_sorted_and_a_third_click_gives_its_order_back(chromium, address, read):
    urgent_first = [item["id"] for item in _ask(address, "studies")["studies"]]
    with opened(chromium, address) as page:
        rows = page.locator(".worklist tbody tr")
        expect(rows).to_have_count(len(urgent_first))

        def order() -> list[str]:
            return rows.evaluate_all("rows => rows.map(row => row.dataset.key)")

        assert order() == urgent_first
        head = page.get_by_role("button", name="Arrived")
        head.click()
        arrived = [item["id"] for item in sorted(_ask(address, "studies")["studies"], key=lambda item: item["arrived"])]
        assert order() == arrived
        head.click()
        assert order()[0] == arrived[-1]
        head.click()
        assert order() == urgent_first
        page.get_by_label("Finding").select_option(_ask(address, f"studies/{read['head']}")["detector"])
        expect(rows).to_have_count(1)
        expect(rows.first).to_have_attribute("data-key", read["head"])


def test_on_a_phone_nothing_is_wider_than_the_screen_and_a_finger_turns_slices(chromium, address, read):
    with opened(chromium, address, viewport=PHONE, has_touch=True, is_mobile=True) as page:
        expect(page.locator(".worklist tbody tr").first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        _study(page, address, read["chest"])
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        canvas, slider = page.locator("canvas"), page.get_by_role("slider", name="Slice")
        canvas.scroll_into_view_if_needed()
        slider.fill("10")
        box = canvas.bounding_box()
        assert box is not None
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        finger = page.context.new_cdp_session(page)
        finger.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
        finger.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [{"x": x, "y": y + 30}]})
        finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        expect(slider).to_have_value("13")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(chromium, address, read, scheme):
    from axe_playwright_python.sync_playwright import Axe

    for size in ({"width": 1280, "height": 800}, PHONE):
        # The test's own script comes from outside, which the page's policy forbids.
        with opened(chromium, address, color_scheme=scheme, viewport=size, bypass_csp=True) as page:
            expect(page.locator(".worklist tbody tr").first).to_be_visible()
            faults = _serious(Axe().run(page))
            _study(page, address, read["head"])
            faults += _serious(Axe().run(page))
            page.keyboard.press("?")
            expect(page.get_by_role("dialog")).to_be_visible()
            faults += _serious(Axe().run(page))
            assert faults == []


def _serious(found) -> list[str]:
    return [
        f"{rule['id']}: {node['html'][:120]} {node['any'][0]['message'] if node['any'] else ''}"
        for rule in found.response["violations"]
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]
