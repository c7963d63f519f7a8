"""What the page shows where there is nothing, not yet anything, or something went wrong; and that texts stay texts."""

import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("playwright")

from page_browser import PHONE, browser, opened, send
from playwright.sync_api import Browser, Page, Route, expect
from served import Server, start

KEY = "0123456789abcdef0123"
HOSTILE = '<img src=x onerror=alert(1)><script>alert(2)</script>&lt;b&gt; O\'Brien "$x$" \u202e'
ITEM = {
    "id": KEY, "detector": "hemorrhage", "state": "refused", "study_uid": "", "series_uid": "", "arrived": "",
    "finished": "", "verdict": None, "probability": None, "urgency": 0.0, "model": HOSTILE, "said": HOSTILE,
    "answer": "agree", "reader": HOSTILE, "note": HOSTILE, "answered": "", "standing": 1, "finding_words": HOSTILE,
    "radiograph": False,
}  # fmt: skip


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as started:
        yield started


def _answer(page: Page, path: str, body: object, status: int = 200) -> None:
    """Let the server say `body` to what asks for `path` (a regular expression)."""

    def say(route: Route) -> None:
        kind = "application/json" if status < 400 else "application/problem+json"
        route.fulfill(status=status, content_type=kind, body=json.dumps(body))

    page.route(re.compile(path), say)


def test_a_new_server_says_that_there_is_no_study_yet(chromium, server: Server):
    with opened(chromium, server.address) as page:
        expect(page.get_by_role("status").filter(has_text="No study yet")).to_be_visible()
        page.get_by_label("State").select_option("failed")
        expect(page.get_by_text("No study fits these filters")).to_be_visible()
        expect(page.get_by_text("Uploaded studies are removed after 30 days.")).to_be_visible()
        expect(page.get_by_role("button", name="Sign out")).to_be_hidden()


def test_a_list_that_is_no_longer_live_says_so_and_comes_back_by_itself(chromium, server: Server):
    tries: list[Route] = []

    def events(route: Route) -> None:
        tries.append(route)
        if len(tries) == 1:
            route.fulfill(content_type="text/event-stream", body="retry: 50\nevent: list\ndata: {}\n\n")
        else:
            route.fulfill(status=503, content_type="application/problem+json", body="{}")

    with opened(chromium, "about:blank", faults=False) as page:
        page.route("**/studies/events", events)
        page.route("**/studies?*", lambda route: route.abort() if len(tries) > 1 else route.continue_())
        page.goto(server.address)
        expect(page.get_by_text("The list cannot be shown")).to_be_visible()
        page.unroute_all()
        expect(page.get_by_role("status").filter(has_text="No study yet")).to_be_visible()


def test_an_answer_to_earlier_filters_that_comes_late_is_not_shown(chromium, server: Server):
    late: list[Route] = []
    with opened(chromium, server.address) as page:
        page.route(re.compile(r"/studies\?.*state=failed"), lambda route: late.append(route))
        page.get_by_label("State").select_option("failed")
        page.get_by_label("State").select_option("refused")
        expect(page.get_by_text("No study fits these filters")).to_be_visible()
        with page.expect_response(re.compile("state=failed")):
            late[0].fulfill(content_type="application/json", body=json.dumps({"total": 1, "studies": [ITEM]}))
        page.wait_for_timeout(100)
        expect(page.get_by_text("No study fits these filters")).to_be_visible()


def test_texts_out_of_files_stay_texts(chromium, server: Server):
    with opened(chromium, "about:blank") as page:
        page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
        _answer(page, r"/studies\?", {"total": 1, "studies": [ITEM]})
        _answer(page, rf"/studies/{KEY}$", ITEM)
        job = {"id": "j", "state": "failed", "study": None, "studies": [], "text": HOSTILE, "progress": 1.0}
        _answer(page, r"/jobs$", [job | {"detector": "auto", "created": "", "expires": None}])
        page.goto(server.address)
        row = page.locator(".worklist tbody tr")
        expect(row).to_contain_text(HOSTILE)
        expect(page.locator(".job-text")).to_have_text(HOSTILE)
        expect(page.locator("main img, main script")).to_have_count(0)
        row.get_by_role("link").click()
        expect(page.get_by_role("alert")).to_contain_text(HOSTILE)
        expect(page.locator("main img, main script")).to_have_count(0)


def test_a_refused_study_says_why_and_leads_back(chromium, server: Server):
    with opened(chromium, "about:blank") as page:
        sentence = "The study has 3 slices; at least 20 are needed."
        _answer(page, rf"/studies/{KEY}$", ITEM | {"said": sentence, "finding_words": "Intracranial hemorrhage"})
        page.goto(f"{server.address}#/studies/{KEY}")
        alert = page.get_by_role("alert")
        expect(alert).to_contain_text("Intracranial hemorrhage: refused")
        expect(alert).to_contain_text(sentence)
        page.keyboard.press("Tab")
        alert.get_by_role("link").click()
        expect(page.get_by_role("heading", name="Worklist", level=1)).to_be_visible()


def test_a_study_that_is_not_there_says_so(chromium, server: Server):
    # The browser reports each answer of 404 on its console.
    with opened(chromium, f"{server.address}#/studies/{KEY}", faults=False) as page:
        expect(page.get_by_role("alert")).to_contain_text("There is no such study on the list")


def test_a_server_that_fails_is_named_with_its_sentence_and_can_be_asked_again(chromium, server: Server):
    sentence = "The server cannot do this now; whoever runs it finds the reason in its output."
    with opened(chromium, "about:blank", faults=False) as page:
        # An event would ask again before the button does.
        page.route(re.compile("/studies/events"), lambda route: route.abort())
        _answer(page, r"/studies\?", {"detail": sentence}, 503)
        page.goto(server.address)
        expect(page.get_by_role("alert")).to_contain_text(sentence)
        page.unroute(re.compile(r"/studies\?"))
        page.get_by_role("button", name="Try again").click()
        expect(page.get_by_text("No study yet")).to_be_visible()


def test_a_server_that_is_gone_is_told_in_a_sentence(chromium, server: Server):
    with opened(chromium, server.address, faults=False) as page:
        expect(page.get_by_text("No study yet")).to_be_visible()
        page.context.set_offline(True)
        page.get_by_label("State").select_option("failed")
        expect(page.get_by_role("alert")).to_contain_text("The server does not answer.")


def test_images_that_cannot_be_shown_leave_verdict_and_pictures(chromium, server: Server, tmp_path: Path):
    study = tmp_path / "study.nii"
    study.write_text("positive and shown")
    with opened(chromium, server.address, faults=False) as page:
        send(page, study)
        page.locator(".job.done").get_by_role("link", name="Open").click()
        # The pretended reader keeps no images.
        expect(page.locator(".stage [role=alert]")).to_contain_text("The images cannot be shown")
        expect(page.locator(".verdict")).to_be_visible()
        expect(page.locator(".plot-place svg")).to_be_visible()
        expect(page.get_by_role("slider", name="Slice")).to_be_enabled()
        with page.expect_download() as saved:
            page.get_by_role("button", name="Finding with masks").click()
        assert zipfile.is_zipfile(saved.value.path())
        page.get_by_role("button", name="DICOM Segmentation").click()
        expect(page.locator("#said")).to_contain_text("There is no DICOM Segmentation")


def test_a_browser_without_webgl_is_told_what_it_lacks(chromium, server: Server, tmp_path: Path):
    study = tmp_path / "study.nii"
    study.write_text("positive without graphics")
    with opened(chromium, "about:blank") as page:
        page.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")
        page.goto(server.address)
        send(page, study)
        page.locator(".job.done").first.get_by_role("link", name="Open").click()
        expect(page.locator(".stage [role=alert]")).to_contain_text("WebGL 2")


def test_dropped_files_are_sent_and_the_window_takes_them_wherever_they_fall(chromium, server: Server):
    with opened(chromium, server.address) as page:
        dropped = page.evaluate_handle(
            "() => { const data = new DataTransfer(); data.items.add(new File(['dropped'], 'a.txt')); return data; }"
        )
        page.dispatch_event("h1", "dragenter", {"dataTransfer": dropped})
        expect(page.locator(".drop.over")).to_be_visible()
        with page.expect_response(re.compile("/studies$")) as sent:
            page.dispatch_event("h1", "drop", {"dataTransfer": dropped})
        assert sent.value.status == 202
        expect(page.locator(".drop.over")).to_have_count(0)
        expect(page.locator(".job").first).to_be_visible()


def test_a_job_shows_its_progress_and_can_be_cancelled(chromium, server: Server, tmp_path: Path):
    study = tmp_path / "study.nii"
    study.write_text("slow 20")
    with opened(chromium, server.address) as page:
        send(page, study)
        job = page.locator(".job.reading")
        expect(job.get_by_role("progressbar")).to_be_visible()
        expect(job.get_by_role("progressbar")).to_have_accessible_name(re.compile("^Progress: "))
        job.get_by_role("button", name="Cancel").click()
        expect(page.locator(".job.reading, .job.waiting")).to_have_count(0)


def test_a_server_with_tokens_asks_for_one_and_a_wrong_one_opens_nothing(chromium, tmp_path: Path):
    tokens = tmp_path / "tokens"
    tokens.write_text("ward:the-right-token-of-the-ward\n")
    tokens.chmod(0o600)
    results = tmp_path / "results"
    told = ["serve", "--port", "0", "--results", str(results), "--token-file", str(tokens)]
    running = start(
        results, "-c", f"import sys; sys.argv[1:] = {told!r}; from AcuteFindingsLib.cli import main; main()"
    )
    try:
        with opened(chromium, running.address, faults=False, viewport=PHONE) as page:
            field = page.get_by_label("Token")
            field.fill("wrong")
            page.get_by_role("button", name="Sign in").click()
            expect(page.get_by_role("alert").filter(has_text="does not know this token")).to_be_visible()
            field.fill("the-right-token-of-the-ward")
            page.get_by_role("button", name="Sign in").click()
            expect(page.get_by_text("No study yet")).to_be_visible()
            assert [cookie["httpOnly"] for cookie in page.context.cookies()] == [True]
            page.reload()
            expect(page.get_by_text("No study yet")).to_be_visible()
            page.get_by_role("button", name="Sign out").click()
            expect(page.get_by_label("Token")).to_be_visible()
            page.reload()
            expect(page.get_by_label("Token")).to_be_visible()
    finally:
        running.stop()
