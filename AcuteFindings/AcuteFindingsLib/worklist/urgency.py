"""How urgent a study is, and where it stands in the list after it has waited: the urgent first, but nobody for ever.

A flag alone changed nothing where it was tried; a new order did (O'Neill and others, Radiology: Artificial Intelligence
2021, doi 10.1148/ryai.2020200024: 15.45 minutes of waiting for studies without and 12.02 for those with hemorrhage). An
order without a limit lets what the model missed wait longer than before (Baltruschat and others, European Radiology
2021, doi 10.1007/s00330-020-07480-7: the longest time to the report of a pneumothorax rose from 890 to 1,293 minutes,
with an upper limit to 979). So every study rises while it waits, and what has waited for the limit goes first.
"""

import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from AcuteFindingsLib.errors import DataError
from AcuteFindingsLib.names import detector_name

_MOST_BYTES = 2**16
_NAMED_FAULTS = 3


class UrgencySettings(BaseModel):
    """A department's own numbers; the defaults hold where no file says otherwise.

    Attributes
    ----------
    limit_minutes
        Who has waited this long goes before everyone who has not, whatever the model said: a working shift.
    positive, indeterminate, negative
        What a verdict is worth, 0 to 1.
    share_of_probability
        How much of the urgency is the probability, the rest is the verdict's worth.
    weights
        By detector, 0 to 1: the urgency of its findings is multiplied by it. 1 for those that are not named.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit_minutes: float = Field(default=480.0, gt=0, allow_inf_nan=False)
    positive: float = Field(default=1.0, ge=0, le=1)
    indeterminate: float = Field(default=0.5, ge=0, le=1)
    negative: float = Field(default=0.0, ge=0, le=1)
    share_of_probability: float = Field(default=0.3, ge=0, le=1)
    weights: dict[Annotated[str, AfterValidator(detector_name)], Annotated[float, Field(ge=0, le=1)]] = Field(
        default_factory=dict
    )

    def urgency(self, verdict: str | None, probability: float | None, detector: str = "") -> float:
        """Return how urgent a study is by what was found, 0 to 1; 0 where there is no verdict (yet).

        Parameters
        ----------
        verdict
            ``"positive"``, ``"indeterminate"`` or ``"negative"``.
        probability
            That of the verdict, 0 to 1; the verdict's worth counts alone where there is none.
        detector
            Whose verdict it is.
        """
        worth = {"positive": self.positive, "indeterminate": self.indeterminate, "negative": self.negative}
        if verdict not in worth:
            return 0.0
        share = self.share_of_probability if probability is not None else 0.0
        urgency = (1 - share) * worth[verdict] + share * (probability or 0.0)
        return self.weights.get(detector, 1.0) * urgency

    def standing(self, urgency: Any, waited_minutes: Any) -> Any:
        """Return by what the list is ordered, the highest first, for numbers or numpy arrays of them.

        It rises evenly from the urgency to 1 while a study waits for the limit, and beyond 1 after it: of those past
        the limit the one that has waited longest is first.
        """
        aged = waited_minutes / self.limit_minutes
        late = aged >= 1
        return late * aged + (1 - late) * (urgency + (1 - urgency) * aged)


def read_urgency(path: Path | str) -> UrgencySettings:
    """Read a department's settings from a TOML file.

    Raises
    ------
    DataError
        It cannot be read, or a setting is unknown or out of its range: names it.
    """
    path = Path(path)
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise DataError(f"{path} is too large to hold the settings of urgency; give the TOML file itself.")
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        return UrgencySettings.model_validate(values)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)[:_NAMED_FAULTS]
        told = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in faults)
        known = ", ".join(UrgencySettings.model_fields)
        raise DataError(f"{path} holds settings of urgency that are none: {told}. There are {known}.") from error
    except ValueError as error:
        raise DataError(f"{path} is no TOML file: {error}.") from error
