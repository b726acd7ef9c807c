# Copyright glancetx contributors. See LICENSE for details.

"""
The peer: an nginx with one worker, as Debian configures it, but without access log.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from bench.processes import BenchError, Process, Processes, free_port

__all__ = ["Nginx", "find_nginx", "start_nginx"]

PATH = os.pathsep.join(["/usr/sbin", "/sbin", os.environ.get("PATH", "")])

CONFIG = """\
daemon off;
worker_processes 1;
{user}pid {folder}/nginx.pid;
error_log stderr;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    default_type application/octet-stream;
    sendfile on;
    tcp_nopush on;
    client_max_body_size 0;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location = /golden {{ alias {golden}; }}
{locations}    }}
}}
"""

PROXIES: Mapping[str, str] = {
    "default": "",
    "tuned": (
        "proxy_http_version 1.1; proxy_buffer_size 256k; proxy_buffers 8 256k; "
        "proxy_max_temp_file_size 0;"
    ),
}
"""Buffers of the proxy, by the name of the contestant."""


class Nginx(Process):
    """
    One that listens.

    :ivar port: where.
    :ivar uploads: the folder that keeps what is PUT below ``/uploads/``, or ``None``
        if this nginx was built without the dav module.
    """

    def __init__(self, pid: int, log: Path, port: int, uploads: Path | None) -> None:
        super().__init__(pid, log)
        self.port = port
        self.uploads = uploads


def find_nginx() -> str:
    """
    Where it is.

    :raises BenchError: if it is not.
    """
    found = shutil.which("nginx", path=PATH)
    if found is None:
        raise BenchError(
            "nginx is not installed, so there is nothing to compare with: "
            "sudo apt-get install --no-install-recommends nginx-light"
        )
    return found


def start_nginx(processes: Processes, folder: Path, golden: Path, parent: str) -> Nginx:
    """
    Start one that serves ``/golden``, ``/proxied/NAME`` and ``/uploads/``.

    :param folder: its own, on the file system of the pieces.
    :param golden: the file behind ``/golden``.
    :param parent: the URL behind every ``/proxied/NAME``; see :data:`PROXIES`.
    """
    program = find_nginx()
    built = subprocess.run([program, "-V"], capture_output=True, text=True, check=True)
    uploads = folder / "uploads"
    uploads.mkdir(parents=True)
    has_dav = "http_dav_module" in built.stderr
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(
        CONFIG.format(
            # Without it a worker of root's nginx could not read our files.
            user="user root;\n" if os.geteuid() == 0 else "",
            folder=folder,
            port=port,
            golden=golden,
            locations="".join(_locations(parent, folder if has_dav else None)),
        ),
        "utf-8",
    )
    command = [program, "-e", "stderr", "-p", str(folder), "-c", str(config)]
    master = processes.start("nginx", command, port)
    worker = _worker(master.pid)
    return Nginx(worker, master.log, port, uploads if has_dav else None)


def _locations(parent: str, dav_root: Path | None) -> Iterable[str]:
    for name, buffers in PROXIES.items():
        yield (
            f"        location = /proxied/{name} {{ {buffers} proxy_pass {parent}; }}\n"
        )
    if dav_root is not None:
        yield (f"        location /uploads/ {{ root {dav_root}; dav_methods PUT; }}\n")


def _worker(master: int) -> int:
    children = Path(f"/proc/{master}/task/{master}/children")
    limit = time.monotonic() + 5
    while time.monotonic() < limit:
        found = children.read_text("ascii").split()
        if found:
            return int(found[0])
        time.sleep(0.05)
    raise BenchError("nginx has no worker")
