"""Programs that run a provider's package in a process of its own; they import nothing of this library.

A package that starts processes itself, or hangs, cannot take the caller with it, and it may live in an environment of
its own. Each is started as ``python run_<package>.py FOLDER``; see `child_tools`.
"""
