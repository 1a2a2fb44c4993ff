"""A look into one run: what it was, whom it served worst, and what it showed a single user."""

from tastebench.board.look.find import find_entry
from tastebench.board.look.user import Wanted, look_at
from tastebench.board.look.whom import extremes

__all__ = ["Wanted", "extremes", "find_entry", "look_at"]
