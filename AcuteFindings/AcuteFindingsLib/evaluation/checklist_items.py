"""What two reporting guidelines ask of a study, in short words of our own, with their item numbers.

CLAIM: Tejani A. S. et al., Checklist for Artificial Intelligence in Medical Imaging (CLAIM): 2024 Update, Radiology:
Artificial Intelligence 6(4), 2024, doi:10.1148/ryai.240300; 44 items. STARD-AI: Sounderajah V. et al., The STARD-AI
reporting guideline for diagnostic accuracy studies using artificial intelligence, Nature Medicine 31, 2025,
doi:10.1038/s41591-025-03953-8; 40 items, some in parts. The wording that counts is that of the guidelines.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Item:
    """One item of a guideline.

    Attributes
    ----------
    number
        As the guideline has it, for example ``"15a"``.
    asks
        What it asks for, in short.
    known
        Name of what a run may know of it (`checklist.KNOWN`); empty where it knows nothing.
    left
        What is left to the authors; empty where what a run knows is all of it.
    """

    number: str
    section: str
    asks: str
    known: str = ""
    left: str = ""


@dataclass(frozen=True)
class Guideline:
    """A guideline and its items; `source` is where it was published."""

    name: str
    source: str
    items: tuple[Item, ...]


_T, _I, _D, _R, _P = (
    "Title and abstract",
    "Introduction",
    "Methods: data",
    "Methods: reference standard",
    "Methods: model",
)
_E, _S, _A, _O = "Methods: evaluation", "Results", "Discussion", "Other information"
_DESIGN, _TEST, _ANALYSIS = "Methods: design and participants", "Methods: tests", "Methods: analysis"

CLAIM = Guideline(
    "CLAIM 2024",
    "https://doi.org/10.1148/ryai.240300",
    (
        Item("1", _T, "That it is about AI, and of which kind", "technology", "Say it in title or abstract."),
        Item("2", _T, "A structured abstract", "", "Write it."),
        Item(
            "3", _I, "Background, intended use and role of the AI", "intended_use", "Clinical background, and the role."
        ),
        Item("4", _I, "Aims and hypotheses", "", "State them."),
        Item("5", _DESIGN, "Prospective or retrospective", "", "State it."),
        Item("6", _DESIGN, "Goal of the study", "goal", "What the measurement is for."),
        Item("7", _D, "Where the data come from", "sources", "Institutions, dates, ethics, public data sets by name."),
        Item("8", _D, "Who and what was included and excluded", "check", "Criteria for patients and examinations."),
        Item("9", _D, "Preprocessing of the images", "preprocessing", ""),
        Item("10", _D, "Parts of images or data that were selected", "selection", "Anything selected beforehand."),
        Item("11", _D, "How data were de-identified", "", "State the method."),
        Item("12", _D, "What was done where data were missing", "missing", "Why they are missing."),
        Item("13", _D, "How images were acquired", "acquisition", "Contrast protocol, dose and reconstruction."),
        Item("14", _R, "How the reference standard was made", "truth", "The method, so that it can be repeated."),
        Item("15", _R, "Why this reference standard", "", "State it."),
        Item("16", _R, "Who made the annotations", "", "Number, training and experience of annotators."),
        Item("17", _R, "How the test set was annotated", "", "Tools, instructions, how conflicts were settled."),
        Item("18", _R, "Variability of the annotators", "", "Measure it with `acutefindings agree`."),
        Item("19", _D, "How data were assigned to partitions", "partitions", "How this test set was chosen."),
        Item("20", _D, "At which level partitions are disjoint", "disjoint", "That no patient was in training."),
        Item("21", _D, "Intended sample size", "sample", "How it was determined."),
        Item("22", _P, "The model in detail", "model", ""),
        Item("23", _P, "Software and its versions", "software", ""),
        Item("24", _P, "How parameters were initialized", "initialization", "Where the model card does not say."),
        Item("25", _P, "How the model was trained", "training", "Augmentation, hyperparameters, number of models."),
        Item("26", _P, "How the final model was chosen", "", "State it, or cite it."),
        Item("27", _P, "Ensembles", "ensemble", ""),
        Item("28", _E, "Measures of performance", "metrics", ""),
        Item("29", _E, "Uncertainty and significance", "uncertainty", ""),
        Item("30", _E, "Robustness and sensitivity analysis", "subgroups", "Which were planned beforehand."),
        Item("31", _E, "Explanation and interpretation", "explanation", "How explanations were assessed."),
        Item("32", _E, "Evaluation on internal data", "", "Say whether these cases are internal to the model."),
        Item("33", _E, "Testing on external data", "", "Say whether these cases are external to it."),
        Item("34", _E, "Registration of a trial", "", "Number, or that there is none."),
        Item(
            "35", _S, "How many were included and excluded", "counts", "Those excluded before this run; a flow diagram."
        ),
        Item("36", _S, "Who the patients of each partition are", "characteristics", "Age, sex, severity, comorbidity."),
        Item("37", _S, "Performance and its uncertainty", "performance", ""),
        Item("38", _S, "Diagnostic performance and its precision", "operating", ""),
        Item("39", _S, "Analysis of wrong results", "failures", "Look at these cases and describe them."),
        Item("40", _A, "Limitations", "limitations", "Those of the study: bias, uncertainty, generalization."),
        Item("41", _A, "What it means for practice", "intended_use", "State the consequences."),
        Item("42", _O, "Where protocol and technical details are", "", "Cite them."),
        Item("43", _O, "Availability of software, model and data", "availability", "Availability of the data."),
        Item("44", _O, "Funding and the funders' role", "", "State it."),
    ),
)

STARD_AI = Guideline(
    "STARD-AI 2025",
    "https://doi.org/10.1038/s41591-025-03953-8",
    (
        Item(
            "1",
            _T,
            "That it is about the accuracy of an AI, with a figure",
            "performance",
            "Say it in title or abstract.",
        ),
        Item("2", _T, "A structured abstract", "", "Write it."),
        Item("3", _I, "Background, intended use, place in the workflow", "intended_use", "Novelty, and the workflow."),
        Item("4", _I, "Objectives and hypotheses", "", "State them."),
        Item("5", _DESIGN, "Prospective or retrospective", "", "State it."),
        Item("6", _DESIGN, "Ethics approval, or why none", "", "State it."),
        Item("7", _DESIGN, "Criteria for participants and for data, in order", "check", "Criteria for participants."),
        Item("8", _DESIGN, "By what participants were found", "", "Symptoms, earlier tests, registries."),
        Item("9", _DESIGN, "Where and when", "", "Setting, place and dates."),
        Item("10", _DESIGN, "Consecutive, random or convenience series", "", "State it."),
        Item("11", _D, "Source of the data: routine, collected for it, public", "sources", "Which of these it is."),
        Item("12", _D, "Who annotated, with what experience, and when", "", "State it."),
        Item("13", _D, "Devices and software, with versions", "devices", "The intended use of the software."),
        Item("14", _D, "Acquisition and preprocessing, so that it can be repeated", "protocol", "Contrast and dose."),
        Item("15a", _TEST, "Index test, so that it can be repeated", "model", ""),
        Item(
            "15b",
            _TEST,
            "How the index test was developed",
            "training",
            "Sizes of the sets, where the card lacks them.",
        ),
        Item("15c", _TEST, "Cut-offs, set beforehand or explored", "cutoffs", ""),
        Item("15d", _TEST, "Who is to use it, with what expertise", "", "State it."),
        Item("16a", _TEST, "Reference standard, so that it can be repeated", "truth", "The method."),
        Item("16b", _TEST, "Why this reference standard", "", "State it."),
        Item("16c", _TEST, "Cut-offs of the reference standard", "", "State them."),
        Item("17a", _TEST, "What performers of the index test knew", "blind", "What readers beside it knew."),
        Item("17b", _TEST, "What assessors of the reference standard knew", "", "Whether they saw the AI's answer."),
        Item("18", _ANALYSIS, "How accuracy was estimated and compared", "uncertainty", ""),
        Item(
            "19", _ANALYSIS, "What was done with indeterminate results", "indeterminate", "Of the reference standard."
        ),
        Item("20", _ANALYSIS, "What was done with missing data", "missing", "Why they are missing."),
        Item("21", _ANALYSIS, "Analyses of variability, planned or explored", "subgroups", "Which were planned."),
        Item("22", _ANALYSIS, "Intended sample size", "sample", "How it was determined."),
        Item("23", _ANALYSIS, "Analysis of errors, bias and fairness", "failures", "Assessment of bias and fairness."),
        Item("24", _S, "Flow of participants as a diagram", "counts", "Draw it."),
        Item("25", _S, "Characteristics of the sets", "characteristics", "Age, sex, and the training set."),
        Item("26a", _S, "Severity among those with the condition", "", "State it."),
        Item("26b", _S, "Other diagnoses among those without", "", "State them."),
        Item("27", _S, "Time and treatment between the tests", "", "State them."),
        Item("28", _S, "Whether the condition is as frequent as where it is to be used", "prevalence", "Compare it."),
        Item("29", _S, "How an external set differs from the training set", "acquisition", "Compare them."),
        Item("30", _S, "Cross tabulation with the reference standard", "table", ""),
        Item("31", _S, "Accuracy and its precision", "operating", ""),
        Item("32", _S, "Adverse events", "", "State them, or that there were none."),
        Item("33", _A, "Limitations", "limitations", "Those of the study."),
        Item("34", _A, "What it means for practice", "intended_use", "State the consequences."),
        Item("35", _A, "Ethics and fairness of using it", "", "State them."),
        Item("36", _O, "Registration", "", "Number and registry, or that there is none."),
        Item("37", _O, "Where the protocol is", "", "Cite it."),
        Item("38", _O, "Funding and the funders' role", "", "State it."),
        Item("39", _O, "Commercial interests", "", "State them."),
        Item("40a", _O, "Availability of data and code", "availability", "Availability of the data."),
        Item(
            "40b",
            _O,
            "Whether outputs are stored and can be audited",
            "audit",
            "Where they are kept, and for how long.",
        ),
    ),
)
