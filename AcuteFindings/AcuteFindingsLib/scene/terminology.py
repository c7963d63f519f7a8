"""A mask's codes as the one string in which Slicer keeps a segment's terminology."""

from AcuteFindingsLib.detectors.finding import Code, Mask

CATEGORY_CONTEXT = "Segmentation category and type - DICOM master list"
ANATOMY_CONTEXT = "Anatomic codes - DICOM master list"


def terminology_entry(mask: Mask) -> str:
    """Return Slicer's serialized terminology entry of a mask.

    Seven parts joined by ``~`` (as `vtkSlicerTerminologiesModuleLogic` reads them): the category-and-type context,
    category, type, type modifier, the anatomy context, anatomy, anatomy modifier; each code is
    ``scheme^value^meaning``. Modifiers are empty.
    """
    nothing = "^^"
    anatomy = _code(mask.anatomy) if mask.anatomy else nothing
    return "~".join(
        (CATEGORY_CONTEXT, _code(mask.category), _code(mask.type), nothing, ANATOMY_CONTEXT, anatomy, nothing)
    )


def _code(code: Code) -> str:
    return f"{code.scheme}^{code.value}^{code.meaning}"
