"""The Sample Data module's registry, as far as modules register their samples in it."""

from typing import Any

import slicer


class SampleDataSource:
    """One sample: where it comes from, or what makes it."""

    def __init__(self, **told: Any) -> None:
        self.__dict__.update(told)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SampleDataSource) and self.__dict__ == other.__dict__

    __hash__ = None


def registered() -> dict[str, list[SampleDataSource]]:
    """Return the samples by category, where Slicer keeps them."""
    if not hasattr(slicer.modules, "sampleDataSources"):
        slicer.modules.sampleDataSources = {}
    return slicer.modules.sampleDataSources


class SampleDataLogic:
    """Keeps samples by category and hands them out by name."""

    @staticmethod
    def registerCustomSampleDataSource(
        category="Custom",
        sampleName=None,
        uris=None,
        fileNames=None,
        nodeNames=None,
        customDownloader=None,
        thumbnailFileName=None,
        loadFileTypes=None,
        loadFiles=None,
        loadFileProperties=None,
        checksums=None,
    ):
        """Add a sample; lists of uris, file names and node names must be of one length, also where none is needed."""

        def listed(value):
            return value if isinstance(value, list | tuple) else [value]

        lengths = {len(listed(value)) for value in (uris, fileNames, nodeNames)}
        if len(lengths) != 1 or any(value is None for value in (uris, fileNames, nodeNames)):
            raise ValueError("Equal number of uris, fileNames and nodeNames must be given")
        source = SampleDataSource(
            category=category,
            sampleName=sampleName,
            uris=listed(uris),
            fileNames=listed(fileNames),
            nodeNames=listed(nodeNames),
            customDownloader=customDownloader,
            thumbnailFileName=thumbnailFileName,
        )
        # A sample registered twice is listed once.
        if source not in registered().setdefault(category, []):
            registered()[category].append(source)

    @staticmethod
    def sourcesForSampleName(sample_name):
        """Return the samples of a name."""
        return [source for sources in registered().values() for source in sources if source.sampleName == sample_name]

    def downloadSample(self, sample_name):
        """Make a sample; returns what its downloader returns."""
        (source,) = self.sourcesForSampleName(sample_name)
        return source.customDownloader(source)

    downloadSamples = downloadSample
    downloadFromSource = staticmethod(lambda source: source.customDownloader(source))
