"""What `acutefindings serve` refuses before it serves anything."""

import sys
from collections.abc import Callable

import pytest

from AcuteFindingsLib import cli


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, tmp_path) -> Callable[..., str]:
    """Run the command, which must end with status 2, and return its line on stderr."""

    def run(*arguments: str) -> str:
        words = ["acutefindings", "serve", "--port", "0", "--results", str(tmp_path / "results"), *arguments]
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == 2
        said = capsys.readouterr().err.splitlines()
        return said[-1]

    return run


def test_other_computers_are_not_let_in_without_tokens(refused, tmp_path):
    assert "--token-file" in refused("--host", "0.0.0.0")
    assert not (tmp_path / "results").exists()


def test_a_certificate_without_its_key_is_told(refused, tmp_path):
    assert "belong together" in refused("--tls-certificate", str(tmp_path / "server.pem"))


def test_an_address_of_another_computer_is_told(refused, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("t" * 32)
    tokens.chmod(0o600)
    # TEST-NET-1 (RFC 5737) is nobody's.
    assert "cannot be listened on" in refused("--host", "192.0.2.1", "--token-file", str(tokens))


def test_engines_and_devices_that_do_not_exist_are_told(refused):
    assert "choose one of" in refused("--engine", "none")
    assert "choose one of" in refused("--device", "none")


def test_what_is_not_installed_is_named_with_what_to_install(refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.delitem(sys.modules, "AcuteFindingsLib.serve.run", raising=False)
    assert "pip install 'acutefindings[web]'" in refused()


def test_a_folder_that_cannot_hold_results_is_told(refused, tmp_path):
    (tmp_path / "file").write_text("")
    assert "cannot hold uploads" in refused("--results", str(tmp_path / "file"))
