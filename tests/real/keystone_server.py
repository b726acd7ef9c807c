# Copyright glancetx contributors. See LICENSE for details.

"""
Serves Keystone: a script for the Python of its own venv.

It ends when its standard input does, so that no killed test run leaves it behind.
"""

from __future__ import annotations

import os
import shutil
import sys
from importlib import import_module
from threading import Thread

FOLDER = os.environ["OS_KEYSTONE_CONFIG_DIR"]


def end_with_parent() -> None:
    """Wait until nobody holds the other end of the input; then leave nothing."""
    sys.stdin.read()
    shutil.rmtree(FOLDER, ignore_errors=True)
    os._exit(1)


def main() -> None:
    """Serve until killed."""
    Thread(target=end_with_parent, daemon=True).start()
    port = int(os.environ["KEYSTONE_PORT"])
    application = import_module("keystone.wsgi.api").application
    # One thread: SQLite has one writer.
    create_server = import_module("waitress").create_server
    server = create_server(application, host="127.0.0.1", port=port, threads=1)
    print(f"listening at http://127.0.0.1:{port}", flush=True)
    server.run()


main()
