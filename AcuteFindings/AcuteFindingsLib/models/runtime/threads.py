"""On how many threads a model computes: see `AcuteFindingsLib.threads`."""

from AcuteFindingsLib.threads import core_count, thread_count, use_threads

__all__ = ["core_count", "thread_count", "use_threads"]
