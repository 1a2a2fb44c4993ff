"""A process with the libraries loaded that forks a child for each order on its standard input.

Starting Python with all of them takes seconds; a forked child starts in milliseconds, and dies
alone. Nothing here may start threads, or its children would hang.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import traceback

import stages


def main() -> None:
    """An order is a line of JSON, the answer a line with the child's exit code; -9 for killed."""
    gc.collect()
    gc.freeze()  # a child that collects garbage would copy every page it looks at
    _say("ready")
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                stages.carry_out(json.loads(line))
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(code)
        _, status = os.waitpid(child, 0)
        _say(str(os.waitstatus_to_exitcode(status)))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
