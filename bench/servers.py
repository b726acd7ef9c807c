# Copyright glancetx contributors. See LICENSE for details.

"""
The servers under test: glancetx as anyone starts it, with the defaults of its limits.
"""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.client import Order, Result, Transfer
from bench.processes import BenchError, Process, Processes, free_port

__all__ = ["Server", "start_server"]

CONFIG = """\
[server]
listen = ["tcp:{port}:interface=127.0.0.1"]
access_log = "access.log"
[catalogue]
url = "sqlite:///catalogue.sqlite"
"""

FOLDER = """\
[stores.main]
backend = "filesystem"
path = "pieces"
"""

ORIGIN = """\
[[origins]]
name = "global"
url = "{url}"
"""

TWISTD = (
    str(Path(sys.executable).with_name("twistd")),
    *("-n", "--pidfile=", "glancetx"),
)


class Server(Process):
    """
    A glancetx that listens.

    :ivar folder: its own, with all its images.
    """

    def __init__(
        self, processes: Processes, process: Process, port: int, folder: Path
    ) -> None:
        super().__init__(process.pid, process.log)
        self.port = port
        self.folder = folder
        self._processes = processes

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str, rate: float | None = None, **headers: str) -> Transfer:
        """A download."""
        return Transfer(self.port, "GET", path, headers, rate=rate)

    def post(self, body: Path, parent: str | None = None) -> Transfer:
        """An upload."""
        headers = {
            "x-image-meta-disk_format": "raw",
            "x-image-meta-container_format": "bare",
        }
        if parent is not None:
            headers["x-image-meta-parent_id"] = parent
        return Transfer(self.port, "POST", "/images", headers, str(body))

    def upload(self, body: Path, parent: str | None = None) -> str:
        """Upload now; the path of the image, ``/images/ID``."""
        result = self._processes.order(Order("transfer", [self.post(body, parent)]))
        return self.made(result)[0]

    def made(self, result: Result) -> list[str]:
        """
        The paths of the images that uploads have made.

        :raises BenchError: if one of them has failed.
        """
        for answer in result.answers:
            if answer["status"] != 201:
                raise BenchError(f"an upload was answered with {answer}")
        return [answer["location"].removeprefix(self.url) for answer in result.answers]

    def remove(self, path: str) -> None:
        """Delete an image."""
        request = urllib.request.Request(self.url + path, method="DELETE")
        with urllib.request.urlopen(request):
            pass

    def show(self, path: str) -> Mapping[str, Any]:
        """A JSON document."""
        with urllib.request.urlopen(self.url + path) as answer:
            document: Mapping[str, Any] = json.load(answer)
            return document

    def piece(self, size: int) -> Path:
        """
        The file of the only image that has so many bytes.

        :raises BenchError: if there is no such file, or there are two.
        """
        files = [
            path
            for path in (self.folder / "pieces").rglob("*")
            if path.is_file() and path.stat().st_size == size
        ]
        if len(files) != 1:
            raise BenchError(f"{len(files)} pieces of {size} bytes instead of one")
        return files[0]


def start_server(
    processes: Processes,
    folder: Path,
    origin: str | None = None,
    command: Sequence[str] = TWISTD,
    store: str = FOLDER,
) -> Server:
    """
    Start a server with a new store.

    :param folder: made if it is not there; its catalogue may be.
    :param origin: the URL of the only server that it may ask.
    :param command: takes ``--config FILE`` behind it.
    :param store: the table of its only store.
    """
    folder.mkdir(exist_ok=True)
    port = free_port()
    config = folder / "glancetx.toml"
    text = CONFIG.format(port=port) + store
    config.touch(mode=0o600)  # it may have secrets
    config.write_text(text + (ORIGIN.format(url=origin) if origin else ""), "utf-8")
    command = [*command, "--config", str(config)]
    process = processes.start(folder.name, command, port)
    return Server(processes, process, port, folder)
