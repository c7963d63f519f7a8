"""The command `acutefindings`."""

import contextlib
import os
import sys
import threading
from collections.abc import Callable
from typing import Annotated, Any, NoReturn, TextIO

import typer

from AcuteFindingsLib import RESEARCH_USE_ONLY, __version__
from AcuteFindingsLib.cli import (
    batch,
    calibrate,
    drift,
    evaluate,
    explore,
    import_model,
    models,
    own_networks,
    pacs,
    providers,
    public_models,
    serve,
    studies,
    train,
    watch,
    worklist,
)
from AcuteFindingsLib.cli.common import (
    BROKEN_PIPE,
    help_without_command,
    listed,
    never_fail_to_print,
    out_console,
    plain,
)
from AcuteFindingsLib.detectors.registry import finding_words
from AcuteFindingsLib.last_resort import expected, sentence, where_logged, write_log

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    help=f"Find {listed(finding_words(), 'and')}, with evidence. {RESEARCH_USE_ONLY}",
)
_COMMANDS: dict[str, tuple[Callable[..., Any], ...]] = {
    "Studies": (
        studies.run,
        batch.batch,
        watch.watch,
        serve.serve,
        studies.check,
        studies.predict,
        studies.phantom,
        studies.demo,
    ),
    "Archives": (pacs.find, pacs.pull, pacs.push),
    "Research": (
        explore.explore,
        train.train,
        calibrate.calibrate,
        evaluate.evaluate,
        evaluate.compare,
        evaluate.agree,
        evaluate.explain,
        evaluate.join_runs,
        drift.drift,
    ),
}
for _panel, _commands in _COMMANDS.items():
    for _command in _commands:
        app.command(rich_help_panel=_panel)(_command)
models.models_app.command("import")(import_model.models_import)
models.models_app.command("recommended")(public_models.models_recommended)
app.add_typer(models.models_app, name="models", rich_help_panel="Models")
providers.providers_app.command("add")(own_networks.providers_add)
providers.providers_app.command("remove")(own_networks.providers_remove)
app.add_typer(providers.providers_app, name="providers", rich_help_panel="Models")
app.add_typer(pacs.servers_app, name="servers", rich_help_panel="Archives")
app.add_typer(worklist.worklist_app, name="worklist", rich_help_panel="Studies")
app.add_typer(train.recipes_app, name="recipes", rich_help_panel="Research")

# What a wrong command line raises; newer versions of typer do not make the class itself public.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]

_STOPPED = 130
# Options by their earlier names, which keep working until the next release.
_RENAMED = {"--licence": "--license", "--licence-file": "--license-file", "--accept-licence": "--accept-license"}


def main() -> None:
    """Run the command; whatever goes wrong ends in one line on stderr and exit status 2."""
    never_fail_to_print()
    threading.excepthook = _thread_failed
    try:
        _run()
    finally:
        _leave_stderr()


def _run() -> NoReturn:
    try:
        status = app(_with_current_names(sys.argv[1:]), standalone_mode=False)
        sys.stdout.flush()
    except _UsageError as error:
        context = getattr(error, "ctx", None)
        hint = f" ({context.command_path} --help tells more.)" if context else ""
        _fail(f"{error.format_message()}{hint}", 2)  # type: ignore[attr-defined]
    except (typer.Abort, KeyboardInterrupt):
        status = _STOPPED
    except Exception as error:  # the last line that can turn it into a sentence
        if isinstance(error, OSError) and _nobody_reads():
            sys.exit(BROKEN_PIPE)
        _fail(_told(error), 2)
    if status == _STOPPED:
        _fail("stopped on request.", _STOPPED)
    sys.exit(status or 0)


def _with_current_names(arguments: list[str]) -> list[str]:
    """Replace options that were renamed, and say so in one line each."""
    current = []
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if name in _RENAMED:
            print(f"acutefindings: {name} is called {_RENAMED[name]} now.", file=sys.stderr)
        current.append(_RENAMED.get(name, name) + equals + value)
    return current


def _fail(text: str, status: int) -> NoReturn:
    with contextlib.suppress(OSError):  # the reader of stderr may be gone as well
        print(f"acutefindings: {plain(' '.join(text.split()))}", file=sys.stderr)
    sys.exit(status)


def _told(error: BaseException) -> str:
    text = sentence(error)
    if expected(error):
        return text
    known = {command.callback.__name__ for command in app.registered_commands if command.callback}
    doing = next((word for word in sys.argv[1:] if word.replace("-", "_") in known), "")
    return f"{text} {where_logged(write_log(error, doing=doing))}"


def _thread_failed(failed: threading.ExceptHookArgs) -> None:
    """Tell of an error in a thread in the same way; the thread is over, the command decides what that means."""
    if failed.exc_value is not None and not isinstance(failed.exc_value, SystemExit):
        print(f"acutefindings: {plain(_told(failed.exc_value))}", file=sys.stderr)


def _nobody_reads() -> bool:
    """Whether what reads our output has gone, as `head` does; what cannot be printed then goes nowhere."""
    try:
        sys.stdout.flush()
    except OSError as error:
        _discard(sys.stdout)
        return isinstance(error, BrokenPipeError)
    return False


def _leave_stderr() -> None:
    """Drop what stderr cannot take: progress that nobody could be told of does not change the exit status."""
    try:
        sys.stderr.flush()
    except OSError:
        _discard(sys.stderr)


def _discard(stream: TextIO) -> None:
    """Send what a stream still holds nowhere: Python flushes it again at the end and exits with 120 if that fails."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context, version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False
) -> None:
    if version:
        out_console.print(f"acutefindings {__version__}")
        raise typer.Exit
    help_without_command(context)
