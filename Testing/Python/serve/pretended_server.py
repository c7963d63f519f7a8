"""The server as the command starts it, with a pretended reader: ``pretended_server.py RESULTS [PORT]``."""

import sys
from pathlib import Path

import pretended_uploads

from AcuteFindingsLib.errors import AcuteFindingsError
from AcuteFindingsLib.serve.run import serve
from AcuteFindingsLib.serve.settings import ServeSettings
from AcuteFindingsLib.worklist.engines.local import LocalEngine


def main() -> int:
    results, port = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    engine = LocalEngine(1, keep=True)
    try:
        settings = ServeSettings(results, port=port, reader=pretended_uploads.REFERENCE)
        serve(settings, engine, say=lambda line: print(line, flush=True))
    except AcuteFindingsError as error:
        print(error, file=sys.stderr)
        return 2
    finally:
        engine.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
