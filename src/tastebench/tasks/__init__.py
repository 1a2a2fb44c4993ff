"""Tasks: what is split, asked, ranked and measured.

>>> task = TASKS.get("seqrec")
>>> task.metrics[0]
'ndcg@10'
"""

from __future__ import annotations

from tastebench.registry import Registry
from tastebench.tasks.protocol import TaskProtocol
from tastebench.tasks.task import NO_FORMS, QueryForms, Task

TASKS: Registry[Task] = Registry(
    "task",
    {
        "search": "tastebench.tasks.search:TASK",
        "seqrec": "tastebench.tasks.seqrec:TASK",
        "cf": "tastebench.tasks.cf:TASK",
        "ctr": "tastebench.tasks.ctr:TASK",
        "userqa": "tastebench.tasks.userqa:TASK",
    },
    group="tastebench.tasks",
)

__all__ = ["NO_FORMS", "TASKS", "QueryForms", "Task", "TaskProtocol"]
