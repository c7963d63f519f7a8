"""What a run knows of model and software, in sentences for a checklist; what a card states is told as such."""

import json
import platform
from importlib.metadata import PackageNotFoundError, version

from AcuteFindingsLib import __version__
from AcuteFindingsLib.evaluation.checklist_known import Known

_LIBRARIES = ("numpy", "scipy", "pandas", "scikit-learn", "SimpleITK", "pydicom", "onnxruntime", "torch", "monai")
_REPOSITORY = "https://github.com/acutefindings/SlicerAcuteFindings"


def technology(known: Known) -> str:
    """Return the kind of model; empty where the run does not know."""
    card = known.card
    return f"The model is a deep neural network ({card.network.name})." if card else ""


def intended_use(known: Known) -> str:
    """Return the intended use; empty where the run does not know."""
    return f"The model card states: {known.card.intended_use}" if known.card else ""


def goal(known: Known) -> str:
    """Return what this run did; empty where the run does not know."""
    model = known.result.model or "one model"
    return f"An existing model ({model}) was measured; this run trained none."


def preprocessing(known: Known) -> str:
    """Return how images were prepared; empty where the run does not know."""
    if known.card is None:
        return ""
    settings = "; ".join(f"{name.replace('_', ' ')}: {value}" for name, value in known.card.preprocessing.items())
    return f"As the model card states: {settings}."


def partitions(known: Known) -> str:
    """Return what the model was trained on; empty where the run does not know."""
    if known.card is None:
        return ""
    data = known.card.training_data
    return f"Training data of the model, by its card: {data.summary} ({data.count}). This run holds testing data alone."


def model(known: Known) -> str:
    """Return which model gave the answers; empty where the run does not know."""
    said = [f"{known.result.model}." if known.result.model else ""]
    if known.card is not None:
        card = known.card
        said.append(f"Network: {card.network.name}, arguments {json.dumps(card.network.arguments)}.")
        said.append(f"Outputs: {', '.join(label.name for label in card.labels)}.")
        if card.companions:
            said.append(f"Further models: {', '.join(card.companions.values())}.")
    weights = sorted({one["model"]["sha256"] for one in known.findings})
    said += [f"SHA-256 of the weights: {', '.join(weights)}."] if weights else []
    rules = sorted({one["verdict"]["rule"] for one in known.findings})
    said += [f"Rule of the verdict: {' / '.join(rules)}"] if rules else []
    return " ".join(filter(None, said))


def software(known: Known) -> str:
    """Return software and its versions; empty where the run does not know."""
    found = [f"AcuteFindings {__version__}", f"Python {platform.python_version()}"]
    for name in _LIBRARIES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    said = f"Evaluated with {', '.join(found)}, on {platform.system()} {platform.machine()}."
    ran = sorted({one["model"].get("runtime", "") for one in known.findings} - {""})
    return f"{said} Computed by {', '.join(ran)}." if ran else said


def initialization(known: Known) -> str:
    """Return what the weights started from; empty where the run does not know."""
    card = known.card
    if card is None:
        return ""
    said = f"By the model card: {card.training_data.summary}."
    return f"{said} Imported from {card.origin.file} ({card.origin.form})." if card.origin else said


def training(known: Known) -> str:
    """Return how the model was trained; empty where the run does not know."""
    if known.card is None:
        return ""
    data, sources = known.card.training_data, known.card.sources
    said = f"By the model card: {data.summary}; {data.count}."
    return f"{said} After: {'; '.join(sources)}." if sources else said


def ensemble(known: Known) -> str:
    """Return whether several runs were averaged; empty where the run does not know."""
    runs = max((len(level.runs) for level in known.result.levels), default=0)
    if runs > 1:
        return f"The mean probability of {runs} runs of the model; each run is reported beside it."
    return "None: one run of the model was measured."


def explanation(known: Known) -> str:
    """Return how answers are explained; empty where the run does not know."""
    card = known.card
    said = ""
    if card is not None and card.graphs is not None and card.graphs.explaining is not None:
        said = f"Heat maps by {card.graphs.explaining.method}, shown beside the images."
    if any(one.get("reasons") for one in known.findings):
        said += " Each verdict carries reasons computed from the image."
    return said.strip()


def limitations(known: Known) -> str:
    """Return limitations that card and run state; empty where the run does not know."""
    said = [f"Of the model, by its card: {known.card.limitations}"] if known.card and known.card.limitations else []
    said += [f"Of this run: {' '.join(known.result.notices)}"] if known.result.notices else []
    return " ".join(said)


def availability(known: Known) -> str:
    """Return licenses of software and model; empty where the run does not know."""
    said = f"The software is open (Apache-2.0, {_REPOSITORY})."
    if known.card is None:
        return said
    restriction = known.card.training_data.restriction
    return f"{said} The model: license {known.card.license}.{f' {restriction}' if restriction else ''}"


def blind(_known: Known) -> str:
    """Return what the model was given; empty where the run does not know."""
    return "The software reads the images and their headers alone: no clinical information, no reference."
