"""The Sample Data module's registry, as far as modules register their samples in it."""

import slicer


class SampleDataSource:
    """One sample: where it comes from, or what makes it. Lists must be of one length, also where none is needed."""

    def __init__(
        self, sampleName=None, uris=None, fileNames=None, nodeNames=None, customDownloader=None, thumbnailFileName=None
    ):
        if not len(uris) == len(fileNames) == len(nodeNames):
            raise ValueError("All fields of sample data source must have the same length")
        self.sampleName, self.customDownloader, self.thumbnailFileName = sampleName, customDownloader, thumbnailFileName
        self.uris, self.fileNames, self.nodeNames = uris, fileNames, nodeNames


class SampleDataLogic:
    """Keeps samples by category, where Slicer keeps them."""

    @staticmethod
    def registerCustomSampleDataSource(category="Custom", **told):
        """Add a sample; one that is registered twice is listed once."""
        if not hasattr(slicer.modules, "sampleDataSources"):
            slicer.modules.sampleDataSources = {}
        listed = slicer.modules.sampleDataSources.setdefault(category, [])
        source = SampleDataSource(**told)
        if source.sampleName not in [known.sampleName for known in listed]:
            listed.append(source)
