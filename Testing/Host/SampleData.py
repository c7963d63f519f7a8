"""The Sample Data module's registry, as far as modules register their samples in it."""

import slicer


class SampleDataSource:
    """One sample: where it comes from, or what makes it. Lists must be of one length, also where none is needed."""

    def __init__(self, uris=None, fileNames=None, nodeNames=None, loadFiles=None, **told):
        loadFiles = loadFiles or [None] * len(uris)
        if not len(uris) == len(fileNames) == len(nodeNames) == len(loadFiles):
            raise ValueError("All fields of sample data source must have the same length")
        self.__dict__.update(told, uris=uris, fileNames=fileNames, nodeNames=nodeNames, loadFiles=loadFiles)


class SampleDataLogic:
    """Keeps samples by category, where Slicer keeps them."""

    @staticmethod
    def registerCustomSampleDataSource(category="Custom", **told):
        """Add a sample; one that is registered twice is listed once."""
        if not hasattr(slicer.modules, "sampleDataSources"):
            slicer.modules.sampleDataSources = {}
        listed = slicer.modules.sampleDataSources.setdefault(category, [])
        source = SampleDataSource(**told)
        if source.__dict__ not in [known.__dict__ for known in listed]:
            listed.append(source)
