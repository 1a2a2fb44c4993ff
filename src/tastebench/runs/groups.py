"""Groups of a published plan: some of its recommenders, with everything that belongs to none."""

from __future__ import annotations

from collections.abc import Sequence

from tastebench.errors import UsageError
from tastebench.recommenders import get_recommender
from tastebench.runs.plan import Plan, RecommenderChoice


def groups_of(plan: Plan) -> tuple[str, ...]:
    """The groups of a plan's recommenders, in their order."""
    found = (choice.group for choice in plan.recommenders or ())
    return tuple(dict.fromkeys(group for group in found if group is not None))


def keep_groups(plan: Plan, wanted: Sequence[str], known: Sequence[str]) -> Plan:
    """The plan with the recommenders of some groups, and those of none: baselines and controls.

    Of its tasks those are left that a wanted group has anything to do with.

    Args:
        plan: The plan.
        wanted: Groups; capitals do not matter.
        known: Groups that may be wanted; some of them may have lost their recommenders.

    Raises:
        UsageError: A group that is not known, or that has no recommender left.
    """
    by_letter = {group.casefold(): group for group in known}
    unknown = [group for group in wanted if group.casefold() not in by_letter]
    where = f"--groups of plan {plan.name!r}"
    if unknown:
        has = f"it has {', '.join(known)}" if known else "its recommenders have none"
        raise UsageError(
            f"no group {', '.join(unknown)}: {has}",
            where=where,
            fix=f"--groups {','.join(known)}" if known else "{name: dnn, group: A} in the plan",
        )
    kept = list(dict.fromkeys(by_letter[group.casefold()] for group in wanted))
    recommenders = plan.recommenders or ()
    empty = [group for group in kept if group not in groups_of(plan)]
    if empty:
        names = ", ".join(dict.fromkeys(choice.name for choice in recommenders))
        raise UsageError(
            f"none of {names} is in group {' or '.join(empty)}",
            where=where,
            fix="other groups, or other recommenders with -m",
        )
    chosen = tuple(choice for choice in recommenders if choice.group in {None, *kept})
    able = {task for choice in chosen if choice.group for task in _tasks(choice)}
    tasks = None if plan.tasks is None else tuple(task for task in plan.tasks if task in able)
    return plan.model_copy(update={"recommenders": chosen, "tasks": tasks})


def _tasks(choice: RecommenderChoice) -> Sequence[str]:
    return choice.tasks or get_recommender(choice.name).tasks
