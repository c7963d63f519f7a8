"""A saved query as the source of a batch: what its file may say, and that parts of studies are not read."""

from pathlib import Path

import pytest

from AcuteFindingsLib.errors import PacsError
from AcuteFindingsLib.pacs.connection import Shortfall
from AcuteFindingsLib.pacs.matches import SeriesMatch, StudyMatch, StudyQuery
from AcuteFindingsLib.pacs.pull import PulledSeries
from AcuteFindingsLib.worklist.intake import saved_query
from AcuteFindingsLib.worklist.intake.saved_query import fetch_studies, read_saved_query
from AcuteFindingsLib.worklist.intake.spool import Spool


def test_a_saved_query_names_its_server_and_what_it_asks_for(tmp_path: Path) -> None:
    file = tmp_path / "query.toml"
    file.write_text('server = "archive"\n[query]\ndate = "20261130"\nmodality = "CT"\n')
    saved = read_saved_query(file)
    assert saved.server == "archive"
    assert saved.query.criteria() == {"StudyDate": "20261130", "ModalitiesInStudy": "CT"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[query]\ndate = "20261130"\n', 'server = "NAME"'),
        ('server = "archive"\n', r"\[query\]"),
        ('server = "archive"\nquery = "20261130"\n', r"\[query\]"),
        ('server = "archive"\ndate = "20261130"\n[query]\n', "'date'"),
        ('server = "archive"\n[query]\nname = "DOE"\n', "'name'"),
        ('server = "archive"\n[query]\ndate = 20261130\n', "'date'"),
        ('server = "archive"\n[query]\nmodality = "CT"\n', "Name the study"),
        ('server = "archive"\n[query]\ndate = "yesterday"\n', "YYYYMMDD"),
        ("server = ", "cannot be read"),
    ],
)
def test_a_saved_query_that_asks_for_something_else_is_refused(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "query.toml"
    file.write_text(text)
    with pytest.raises(PacsError, match=said):
        read_saved_query(file)


class _Connection:
    def __init__(self) -> None:
        self.shortfalls: list[Shortfall] = []


def test_a_study_that_did_not_come_as_a_whole_is_named_and_not_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    studies = [StudyMatch(f"1.2.{number}", "", "", "", ("CT",), 1, 3) for number in range(3)]

    def pull(_connection, asked, folder: Path, **_settings) -> tuple[PulledSeries, ...]:
        (study,) = asked
        if study.study_uid == "1.2.1":
            raise PacsError("The server ended the connection.")
        folder.mkdir(parents=True)
        (folder / "image.nii").write_bytes(b"")
        lacking = 2 if study.study_uid == "1.2.2" else 0
        series = SeriesMatch(study.study_uid, "1.2.9", "CT", 1, "", 3)
        return (PulledSeries(series, folder, 0, 3 - lacking, (), (), lacking=lacking),)

    monkeypatch.setattr(saved_query, "find_studies", lambda *_asked, **_settings: studies)
    monkeypatch.setattr(saved_query, "pull_studies", pull)
    spool = Spool(tmp_path / "incoming")
    fetched = fetch_studies(_Connection(), StudyQuery(date="20261130"), spool)
    assert [exam.source.parent for exam in fetched.found.exams] == [spool.study("1.2.0")]
    unreached, partial = fetched.problems
    assert "1.2.1" in unreached
    assert "ended the connection" in unreached
    assert "1.2.2" in partial
    assert "2 instances did not come" in partial
