"""The API against its own description: whatever is sent, no request makes the server fail."""

from itertools import product
from pathlib import Path

import pytest

schemathesis = pytest.importorskip("schemathesis")

import pretended_uploads  # noqa: E402
from hypothesis import HealthCheck, Phase, given, settings  # noqa: E402
from schemathesis import GenerationMode  # noqa: E402
from schemathesis.checks import not_a_server_error  # noqa: E402
from schemathesis.specs.openapi import checks  # noqa: E402

from AcuteFindingsLib.serve.app import make_app  # noqa: E402
from AcuteFindingsLib.serve.settings import ServeSettings  # noqa: E402
from AcuteFindingsLib.worklist.records import UPLOAD, Record, now  # noqa: E402
from AcuteFindingsLib.worklist.store import Store  # noqa: E402

# Streams without an end are heard in test_jobs.py.
ENDLESS = "/studies/events$"
HERE = {"Host": "127.0.0.1:8080"}
CHECKS = (
    not_a_server_error,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.status_code_conformance,
)


class NoEngine:
    """Reads nothing: what is uploaded fits no detector."""

    name, workers = "none", 1

    def run(self, exams, settings, *, done, **_other):
        for exam in exams:
            done(exam, [])


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> tuple[object, str]:
    """An app whose list has one study; no job runs."""
    results: Path = tmp_path_factory.mktemp("served") / "results"
    store = Store(results)
    key = store.folder.key_of_upload("hemorrhage", "a", "")
    record = Record(key, pretended_uploads.DETECTOR, "done", arrived=now(), attempts=1, origin=UPLOAD)
    store.put(pretended_uploads.write_result(store.folder, record))
    store.close()
    return make_app(ServeSettings(results), NoEngine(), say=lambda _line: None), key


@pytest.fixture(scope="module")
def api(served):
    app, _key = served
    made = schemathesis.openapi.from_asgi("/api/v1/openapi.json", app, headers=HERE)
    return made.exclude(path_regex=ENDLESS)


def test_no_request_makes_the_server_fail_and_every_answer_is_as_described(api, served):
    _app, key = served
    tried = set()

    def check(case) -> None:
        # Of the cases about a study half are about the one that is there.
        study = (case.path_parameters or {}).get("study_id")
        if isinstance(study, str) and len(study) % 2 and case.method != "DELETE":
            case.path_parameters["study_id"] = key
        answer = case.call(headers=HERE)
        tried.add((case.method, case.path, answer.status_code))
        case.validate_response(answer, checks=CHECKS, headers=HERE)

    operations = [one.ok() for one in api.get_all_operations()]
    for operation, mode in product(operations, (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)):
        # Wrong values are found where there is something to get wrong.
        if mode is GenerationMode.NEGATIVE and not (operation.query or operation.body):
            continue
        how = settings(
            max_examples=10, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],
        )  # fmt: skip
        how(given(operation.as_strategy(generation_mode=mode))(check))()
    assert len({(method, path) for method, path, _ in tried}) == len(operations)
    assert {200, 202, 204, 404, 422} <= {status for _, _, status in tried}
