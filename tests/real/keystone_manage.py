# Copyright glancetx contributors. See LICENSE for details.

"""
Runs ``keystone-manage`` several times: a script for the Python of Keystone's venv.

Each line of the standard input is the arguments of one run, as JSON. Each run is
forked from a process that has imported Keystone, which takes longer than the runs.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module


def main() -> int:
    """Run all, one after another, until one fails."""
    manage = import_module("keystone.cmd.manage").main
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            sys.argv = ["keystone-manage", *json.loads(line)]
            os._exit(bool(manage()))
        if os.waitpid(child, 0)[1] != 0:
            return 1
    return 0


sys.exit(main())
