# Copyright glancetx contributors. See LICENSE for details.

"""
Runs PostgreSQL, by ``initdb`` first if its folder is empty.

It ends when its standard input does, so that no killed test run leaves it behind.
``postgres`` refuses to be root, so root runs it as another user.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from typing import Any

USERS = ("postgres", "nobody")
"""Who runs it for root: the first of them that there is."""


SIGNALS = {signal.SIGTERM: signal.SIGINT, signal.SIGQUIT: signal.SIGQUIT}
"""What is passed on, as what: SIGTERM would let it wait until its clients have left."""


def main() -> int:
    """Run until told to end, or left alone."""
    os.setsid()  # what a terminal sends to the tests is not for this process
    said = json.loads(sys.argv[1])
    folder = Path(said["folder"])
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # until they can be passed on
    account = unprivileged(folder)
    if not (folder / "data").exists():
        subprocess.run(said["initdb"], check=True, cwd=folder, **account)
    server = subprocess.Popen(
        said["postgres"],
        stdin=subprocess.DEVNULL,
        cwd=folder,
        start_new_session=True,
        **account,
    )
    for number, passed_on in SIGNALS.items():
        signal.signal(number, passing(server, passed_on))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    alone = Event()
    Thread(target=notice_end, args=(server, alone), daemon=True).start()
    while (code := server.poll()) is None:
        time.sleep(0.02)  # a signal just before wait() would be seen after it only
    if alone.is_set():
        shutil.rmtree(folder, ignore_errors=True)
    return code


def passing(server: subprocess.Popen[bytes], number: int) -> Callable[..., None]:
    """A handler that sends the server this signal."""
    return lambda *_: server.send_signal(number)


def unprivileged(folder: Path) -> dict[str, Any]:
    """Whose process it is to be; the folder becomes his."""
    if os.geteuid() != 0:
        return {}
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    entry = next(known[name] for name in USERS if name in known)
    for path in (folder, *folder.iterdir()):
        os.chown(path, entry.pw_uid, entry.pw_gid)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def notice_end(server: subprocess.Popen[bytes], alone: Event) -> None:
    """Wait until nobody holds the other end of the input, and end the server."""
    sys.stdin.read()
    alone.set()
    server.send_signal(signal.SIGQUIT)


sys.exit(main())
