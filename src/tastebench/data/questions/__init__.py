"""Questions about users: multiple-choice questions whose answers follow from what they did.

`generate(dataset, spec)` makes them of data alone; no model has a part in it.
"""

from tastebench.data.questions.generate import QuestionSet, generate
from tastebench.data.questions.spec import KINDS, QuestionSpec

__all__ = ["KINDS", "QuestionSet", "QuestionSpec", "generate"]
