"""What the labels mean, with SNOMED CT codes, and which ones a recipe trains on."""

from AcuteFindingsLib.models.metadata import Label
from AcuteFindingsLib.networks.pe import EXAM_LABELS
from AcuteFindingsLib.networks.radnet import HEMORRHAGE_LABELS
from AcuteFindingsLib.training.recipes.schema import Recipe

_MEANINGS = {
    "pe": ("Pulmonary embolism", "59282003"),
    "pe_present": ("Pulmonary embolism in the exam", ""),
    "left": ("Left-sided embolism", ""),
    "right": ("Right-sided embolism", ""),
    "central": ("Central embolism", ""),
    "rv_lv_ge_1": ("RV/LV ratio of 1 or more", ""),
    "rv_lv_lt_1": ("RV/LV ratio below 1", ""),
    "chronic": ("Chronic embolism", ""),
    "acute_and_chronic": ("Acute and chronic embolism", ""),
    "indeterminate": ("Indeterminate exam", ""),
    "any": ("Any intracranial hemorrhage", "1386000"),
    "epidural": ("Epidural hemorrhage", "428268007"),
    "intraparenchymal": ("Intraparenchymal hemorrhage", "274100004"),
    "intraventricular": ("Intraventricular hemorrhage", "23276006"),
    "subarachnoid": ("Subarachnoid hemorrhage", "21454007"),
    "subdural": ("Subdural hemorrhage", "35486000"),
    "pneumothorax": ("Pneumothorax", "36118008"),
    "effusion": ("Pleural effusion", "60046008"),
    "atelectasis": ("Atelectasis", "46621007"),
    "cardiomegaly": ("Cardiomegaly", "8186001"),
    "consolidation": ("Consolidation", "95436008"),
    "pneumonia": ("Pneumonia", "233604007"),
    "chest_drain": ("Chest drain", "264957007"),
    "tracheostomy": ("Tracheostomy tube", "129121000"),
    "endotracheal": ("Endotracheal tube", "26412008"),
    "nasogastric": ("Nasogastric tube", "17102003"),
    "lungs": ("Lung fields", "39607008"),
}


def trained_labels(recipe: Recipe) -> tuple[str, ...]:
    """Return the labels of each slice or image that a recipe trains on, in the order of the network's outputs."""
    if recipe.data.labels is not None:
        return recipe.data.labels
    arguments = recipe.network.arguments
    if recipe.task == "hemorrhage":
        return HEMORRHAGE_LABELS[: int(arguments.get("labels", len(HEMORRHAGE_LABELS)))]
    if recipe.task == "chest":
        return (*arguments.get("pathologies", ()), *arguments.get("tubes", ()))
    return {"pe": ("pe",), "pneumothorax": ("pneumothorax",)}.get(recipe.task, ())


def has_exam_head(recipe: Recipe) -> bool:
    """Whether the network gives the labels of a whole exam too (as the sequence network does unless told not to)."""
    return recipe.stages.sequence is not None and bool(
        recipe.network.arguments.get("sequence", {}).get("exam_head", True)
    )


def card_labels(recipe: Recipe) -> list[Label]:
    """Return the labels as a model card states them."""
    names = list(trained_labels(recipe)) or ["lungs"]
    if has_exam_head(recipe):
        names += EXAM_LABELS
    return [label_of(name) for name in names]


def label_of(name: str) -> Label:
    """Return a label with its meaning and code; a name that is not known means itself."""
    meaning, code = _MEANINGS.get(name, (name.replace("_", " ").capitalize(), ""))
    return Label(name=name, meaning=meaning, code=code)
