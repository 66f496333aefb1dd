"""From which score on something counts as found."""

from dataclasses import dataclass

from core.errors import InvalidArgumentError


@dataclass(frozen=True)
class Thresholds:
    """What is kept of a model's raw output.

    Attributes:
        score: least score, 0 to 1; of a detection, a segmented object or a text's box.
        overlap: of two boxes of a class whose intersection over union is larger than this, the better one is kept.
        count: most objects, or classes of a classification, kept.
    """

    score: float = 0.25
    overlap: float = 0.7
    count: int = 300

    def __post_init__(self) -> None:
        for name, value in (("score", self.score), ("overlap", self.overlap)):
            if not 0 <= value <= 1:
                raise InvalidArgumentError(f"the {name} threshold is {value}; give one from 0 to 1")
        if self.count < 1:
            raise InvalidArgumentError(f"at most {self.count} objects would be kept; give a count of at least 1")
