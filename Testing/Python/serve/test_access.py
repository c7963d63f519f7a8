"""Who gets in, from where, and what every answer carries."""

from pathlib import Path

import pytest

from AcuteFindingsLib.errors import ServeError
from AcuteFindingsLib.serve import tokens as tokens_module
from AcuteFindingsLib.serve.access import check_place
from AcuteFindingsLib.serve.settings import ServeSettings
from AcuteFindingsLib.serve.tokens import Token, cookie_for, read_tokens

SECRET, OTHER = "s" * 32, "t" * 32
TOKEN = Token(SECRET, "Dr. Read")
BEARER = {"Authorization": f"Bearer {SECRET}"}


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9", "::1", "localhost"])
def test_without_tokens_this_computer_may_be_listened_on(tmp_path, host):
    check_place(ServeSettings(tmp_path, host=host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.5", "server.example.org", ""])
def test_other_addresses_are_refused_at_the_start_without_tokens(tmp_path, host):
    with pytest.raises(ServeError, match="--token-file"):
        check_place(ServeSettings(tmp_path, host=host))
    check_place(ServeSettings(tmp_path, host=host, tokens=(TOKEN,)))


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil:80", ""]
)
def test_a_name_that_was_pointed_at_this_computer_is_refused(app, host):
    answer = app().get("/api/v1/studies", headers={"Host": host})
    assert answer.status_code == 421
    assert "this computer" in answer.json()["detail"]


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1", "[::1]:8080", "LOCALHOST"])
def test_names_of_this_computer_are_answered(app, host):
    assert app().get("/api/v1/studies", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_pages_of_other_sites_change_nothing(app, headers):
    client = app()
    assert client.delete("/api/v1/jobs/none", headers=headers).status_code == 403
    files = {"files": ("a.dcm", b"x")}
    assert client.post("/api/v1/studies", files=files, headers=headers).status_code == 403
    assert not any((client.app._settings.results / "uploads").glob("*/files"))


@pytest.mark.parametrize("headers", [{"Origin": "http://127.0.0.1:8080"}, {"Sec-Fetch-Site": "same-origin"}, {}])
def test_the_own_page_and_programs_may_change_something(app, headers):
    assert app().delete("/api/v1/jobs/none", headers=headers).status_code == 404


def test_with_tokens_nothing_of_a_patient_is_told_without_one(app, uploaded):
    key = uploaded().key
    client = app(tokens=(TOKEN,))
    addresses = ["studies", "jobs", "models", "detectors", f"studies/{key}", "no-such"]
    addresses += [f"studies/{key}/{name}" for name in ("finding", "chart", "mask.nii.gz", "report.html", "pictures/0")]
    for address in addresses:
        for headers in (
            {},
            {"Authorization": f"Bearer {OTHER}"},
            {"Authorization": SECRET},
            {"Cookie": "acutefindings=x"},
        ):
            answer = client.get(f"/api/v1/{address}", headers=headers)
            assert answer.status_code == 401, address
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert key not in answer.text
    assert client.get(f"/api/v1/studies?token={SECRET}").status_code == 401
    assert client.get("/api/v1/version").status_code == 200
    assert client.get(f"/api/v1/studies/{key}/finding", headers=BEARER).status_code == 200


def test_the_name_of_a_token_is_the_reader_of_its_answers(app, uploaded):
    client = app(tokens=(TOKEN, Token(OTHER)))
    key = uploaded().key
    assert client.post(f"/api/v1/studies/{key}/answer", json={"answer": "agree"}, headers=BEARER).status_code == 204
    item = client.get(f"/api/v1/studies/{key}", headers=BEARER).json()
    assert (item["answer"], item["reader"]) == ("agree", "Dr. Read")


def test_a_page_gets_a_cookie_for_its_token_and_changes_things_only_with_its_header(app):
    client = app(tokens=(TOKEN,))
    assert client.post("/api/v1/session").status_code == 401
    answer = client.post("/api/v1/session", headers=BEARER)
    cookie = answer.headers["set-cookie"]
    assert answer.status_code == 204
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Secure" not in cookie
    assert SECRET not in cookie
    assert client.get("/api/v1/studies").status_code == 200
    assert client.delete("/api/v1/jobs/none").status_code == 403
    assert client.delete("/api/v1/jobs/none", headers={"X-AcuteFindings": "page"}).status_code == 404
    assert client.delete("/api/v1/session", headers={"X-AcuteFindings": "page"}).status_code == 204
    assert client.get("/api/v1/studies").status_code == 401


def test_the_cookie_stays_on_https_where_the_page_came_by_it(app):
    client = app("https://server.example.org", tokens=(TOKEN,))
    assert "Secure" in client.post("/api/v1/session", headers=BEARER).headers["set-cookie"]


def test_cookies_end_and_are_worth_nothing_for_another_token(app, monkeypatch):
    client = app(tokens=(TOKEN,))

    def status(cookie: str) -> int:
        return client.get("/api/v1/studies", headers={"Cookie": f"acutefindings={cookie}"}).status_code

    good = cookie_for(TOKEN)
    ends, _, signature = good.partition(".")
    assert status(good) == 200
    assert status(cookie_for(Token(OTHER))) == 401
    assert status(f"{int(ends) + 1}.{signature}") == 401
    assert status(f"{ends}.{'0' * 64}") == 401
    monkeypatch.setattr(tokens_module.time, "time", lambda: int(ends) + 1.0)
    assert status(good) == 401


def test_cookies_of_other_programs_on_the_same_host_do_not_hide_ours(app):
    client = app(tokens=(TOKEN,))
    for others in ('{"a": 1}=x', "a[0]=1", "nothing", "=;;"):
        headers = {"Cookie": f"{others}; acutefindings={cookie_for(TOKEN)}; b=2"}
        assert client.get("/api/v1/studies", headers=headers).status_code == 200, others


def test_every_answer_carries_the_headers_that_browsers_heed(app, uploaded):
    key = uploaded().key
    client = app()
    for address in (
        "/",
        "/api/v1/studies",
        "/api/v1/none",
        f"/api/v1/studies/{key}/finding",
        "/%2e%2e/%2e%2e/etc/passwd",
    ):
        headers = client.get(address).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "access-control-allow-origin" not in headers
    (client.app._settings.results / key / "report.html").write_text("<p>report</p>")
    policy = client.get(f"/api/v1/studies/{key}/report.html").headers["content-security-policy"]
    assert "sandbox" in policy
    assert "script-src" not in policy


def test_bodies_that_are_no_uploads_are_small(app, uploaded):
    key = uploaded().key
    client = app()
    address = f"/api/v1/studies/{key}/answer"
    large = b'{"answer": "agree", "note": "' + b"x" * 10**6 + b'"}'
    assert client.post(address, content=large).status_code == 413
    # Without a length, as a client that hides it sends it.
    assert 400 <= client.post(address, content=iter([large[:1000]] * 1000)).status_code < 500
    assert client.get(f"/api/v1/studies/{key}").json()["answer"] == ""


def test_files_outside_the_page_are_not_served(app):
    client = app()
    for address in ("/../settings.py", "/%2e%2e/settings.py", "/..%2fsettings.py", "/..\\settings.py", "//etc/passwd"):
        assert client.get(address).status_code == 404, address


def token_file(folder: Path, text: str, mode: int = 0o600) -> Path:
    file = folder / "tokens"
    file.write_text(text)
    file.chmod(mode)
    return file


def test_tokens_are_read_with_their_names(tmp_path):
    found = read_tokens(token_file(tmp_path, f"# readers\n\nDr. Read: x:{SECRET}\n{OTHER}\n"))
    assert found == (Token(SECRET, "Dr. Read: x"), Token(OTHER))


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        (SECRET, 0o644, "chmod 600"),
        ("short", 0o600, "line 1"),
        (f"name:{SECRET} x", 0o600, "line 1"),
        ("# nobody\n", 0o600, "no token"),
        (SECRET * 4096, 0o600, "too large"),
    ],
)
def test_token_files_that_keep_no_secret_are_refused(tmp_path, text, mode, said):
    with pytest.raises(ServeError, match=said):
        read_tokens(token_file(tmp_path, text, mode))


def test_a_token_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ServeError, match="cannot be read"):
        read_tokens(tmp_path / "none")
