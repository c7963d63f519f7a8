"""AcuteFindings: pulmonary embolism, intracranial hemorrhage and pneumothorax from imaging studies, with evidence.

Research software. It is not a medical device and its verdicts are not a diagnosis.
"""

__version__ = "0.1.0"

RESEARCH_USE_ONLY = "Research use only. Not a medical device; not for diagnosis."
