"""The file of servers: what is accepted, and what is refused without repeating a secret."""

from pathlib import Path

import pytest

from AcuteFindingsLib.errors import PacsError
from AcuteFindingsLib.pacs.servers import EXAMPLE, DicomwebServer, DimseServer, find_server, read_servers

WEB = 'kind = "dicomweb"\nurl = "https://pacs.example.org/dicom-web/"\n'
CLASSIC = 'kind = "dicom"\nhost = "10.0.0.5"\nport = 104\nae_title = "ARCHIVE"\n'


@pytest.fixture
def write(tmp_path: Path):
    def write(text: str) -> Path:
        (tmp_path / "servers.toml").write_text(text, encoding="utf-8")
        return tmp_path / "servers.toml"

    return write


def test_the_example_is_a_valid_file(write) -> None:
    servers = read_servers(write(EXAMPLE))
    assert isinstance(servers["hospital"], DicomwebServer)
    assert isinstance(servers["archive"], DimseServer)
    everything = EXAMPLE.replace("# password =", "#password =").replace("# token_file", "#token_file")
    servers = read_servers(
        write(everything.replace("# ca_", "ca_").replace("# cert", "cert").replace("# key_", "key_"))
    )
    assert servers["hospital"].certificate_file is not None


def test_file_names_start_beside_the_file(write, tmp_path) -> None:
    path = write(f'[pacs]\n{WEB}user = "me"\npassword_file = "secret"\nca_file = "/etc/ca.pem"\n')
    server = find_server(path, "pacs")
    assert server.password_file == tmp_path / "secret"
    assert server.ca_file == Path("/etc/ca.pem")
    assert isinstance(server, DicomwebServer)
    assert server.url == "https://pacs.example.org/dicom-web"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f'[a]\n{WEB}user = "me"\npassword = "hush-hush"\n', "the password of a does not belong in this file"),
        (f'[a]\n{WEB}token = "hush-hush"\n', "the token of a does not belong in this file"),
        ('[a]\nkind = "dicomweb"\nurl = "https://me:hush-hush@pacs/dicom-web"\n', "url: leave user name and password"),
        (f'[a]\n{WEB}passwort_file = "hush-hush"\n', "passwort_file is not a setting of this kind of server"),
        (f'[a]\n{WEB}timeout = "hush-hush"\n', "timeout: "),
        ('[a]\nkind = "hush-hush"\n', 'kind must be "dicomweb" or "dicom"'),
        ('[a]\nurl = "hush-hush"\n', 'kind must be "dicomweb" or "dicom"'),
        ('[a]\nkind = "dicomweb"\nurl = "hush-hush"\n', "url: give a whole address such as https://"),
        ('[a]\nkind = "dicom"\nhost = "hush-hush"\n', "port is missing; ae_title is missing"),
        (f"[a]\n{CLASSIC.replace('ARCHIVE', 'HUSH-HUSH-SEVENTEEN')}", "ae_title: "),
        (f'[a]\n{WEB}password_file = "hush-hush"\n', "a has a password but no user"),
        (f'[a]\n{WEB}user = "hush-hush"\n', "a has a user but no password"),
        (f'[a]\n{CLASSIC}token_file = "hush-hush"\n', "a has a token, which classic DICOM does not use"),
        (f'[a]\n{WEB}key_file = "hush-hush"\n', "a has a key_file but no certificate_file"),
        ('kind = "hush-hush"\n', "kind is outside a server's table"),
        ("[a\nhush-hush", "servers.toml is not valid TOML"),
    ],
)
def test_a_wrong_entry_is_explained_without_its_values(text: str, says: str, write) -> None:
    with pytest.raises(PacsError) as refused:
        read_servers(write(text))
    assert says in str(refused.value)
    error: BaseException | None = refused.value
    while error is not None:
        assert "hush-hush" not in str(error).lower()
        error = None if error.__suppress_context__ else error.__cause__ or error.__context__


def test_a_login_does_not_cross_the_network_unencrypted_unless_accepted(write) -> None:
    login = 'user = "me"\npassword_file = "secret"\n'
    with pytest.raises(PacsError, match="cross the network unencrypted; use https"):
        read_servers(write(f"[a]\n{WEB.replace('https', 'http')}{login}"))
    with pytest.raises(PacsError, match="cross the network unencrypted; use tls = true"):
        read_servers(write(f"[a]\n{CLASSIC}{login}"))
    read_servers(write(f"[a]\n{CLASSIC}{login}tls = true\n"))
    read_servers(write(f"[a]\n{CLASSIC}{login}login_without_tls = true\n"))
    read_servers(write(f'[a]\nkind = "dicomweb"\nurl = "http://localhost:8042/dicom-web"\n{login}'))


def test_a_missing_file_and_an_unknown_name_say_what_to_do(write, tmp_path, command) -> None:
    status, _, err = command("find", "pacs", "--study", "1.2", "--servers", tmp_path / "none.toml")
    assert status == 2
    assert "acutefindings servers example prints a template" in err
    path = write(f"[one]\n{WEB}[two]\n{CLASSIC}")
    status, _, err = command("find", "three", "--study", "1.2", "--servers", path)
    assert status == 2
    assert "names no server 'three'; it names: one, two." in err


def test_the_list_and_the_example_are_printed(write, command) -> None:
    _, out, _ = command("servers", "list", "--servers", write(f"[one]\n{WEB}[two]\n{CLASSIC}"))
    assert "https://pacs.example.org/dicom-web" in out
    assert "ARCHIVE at 10.0.0.5:104" in out
    status, out, _ = command("servers", "example")
    assert (status, out) == (0, EXAMPLE)
    assert "Usage" in command("servers")[1]


def test_no_command_takes_a_password(command) -> None:
    for name in ("find", "pull", "push", ("servers", "test")):
        arguments = (name,) if isinstance(name, str) else name
        status, out, _ = command(*arguments, "--help")
        assert status == 0
        assert "password" not in out.lower()
        assert "token" not in out.lower()
