"""Installing Python packages: here nothing is installed, but what was asked for is kept for the test to read."""

from importlib import metadata

installed: list[str] = []
"""Requirements that `pip_ensure` or `pip_install` was asked to install."""

answer = True
"""What the user answers when `pip_ensure` asks; False declines."""


def pip_check(requirement):
    """Return whether a requirement (or every one of a list) is met."""
    from packaging.requirements import Requirement

    if isinstance(requirement, list | tuple):
        return all(pip_check(item) for item in requirement)
    wanted = Requirement(str(requirement))
    if wanted.marker is not None and not wanted.marker.evaluate():
        return True
    try:
        version = metadata.version(wanted.name)
    except metadata.PackageNotFoundError:
        return False
    return wanted.specifier.contains(version, prereleases=True)


def pip_ensure(
    requirements,
    constraints=None,
    skip_packages=None,
    prompt_install=True,
    prompt_restart=True,
    requester=None,
    skip_in_testing=True,
    show_progress=True,
):
    """Install what is missing after asking; in testing mode nothing is installed and None is returned.

    Raises
    ------
    RuntimeError
        When the user (`answer`) declines.
    """
    import slicer

    wanted = requirements.split() if isinstance(requirements, str) else list(requirements)
    missing = [str(item) for item in wanted if not pip_check(item)]
    if not missing or (skip_in_testing and slicer.app.testingEnabled()):
        return
    if prompt_install and not answer:
        raise RuntimeError("User declined package installation")
    installed.extend(missing)


def pip_install(requirements, *_arguments, **_keywords):
    """Install without asking."""
    installed.extend([requirements] if isinstance(requirements, str) else map(str, requirements))
