# Copyright glancetx contributors. See LICENSE for details.

"""
That ``outbound.py`` is the only module which opens connections.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import glancetx


class OneDoorTests(SynchronousTestCase):
    """No other module opens a connection."""

    #: What opens connections, by whatever module it comes from.
    openers = {
        "Agent",
        "BrowserLikeRedirectAgent",
        "ClientCreator",
        "CookieAgent",
        "HTTPConnectionPool",
        "HostnameEndpoint",
        "ProxyAgent",
        "RedirectAgent",
        "SSL4ClientEndpoint",
        "TCP4ClientEndpoint",
        "TCP6ClientEndpoint",
        "UNIXClientEndpoint",
        "clientFromString",
        "connectSSL",
        "connectTCP",
        "connectUDP",
        "connectUNIX",
        "create_connection",
        "urlopen",
        "wrapClientTLS",
    }
    modules = {
        "aiohttp",
        "ftplib",
        "http.client",
        "httpx",
        "requests",
        "smtplib",
        "twisted.names",
        "urllib.request",
        "urllib3",
        "xmlrpc",
    }
    #: These make an agent of their own if they are given none.
    treq_calls = {"delete", "get", "head", "patch", "post", "put", "request"}

    def openings(self, tree: ast.AST) -> Iterator[str]:
        for node in ast.walk(tree):
            match node:
                case ast.Import(names=names):
                    found = {name.name for name in names}
                    yield from found & self.modules
                case ast.ImportFrom(module=module, names=names):
                    found = {name.name for name in names}
                    yield from found & self.openers
                    found |= {f"{module}", *(f"{module}.{name}" for name in found)}
                    yield from found & self.modules
                    if module == "treq":
                        yield from found & self.treq_calls
                case ast.Attribute(attr=attr) if attr in self.openers:
                    yield attr
                case ast.Attribute(value=ast.Name(id="treq"), attr=attr):
                    yield from {attr} & self.treq_calls

    def test_package(self) -> None:
        """
        Only ``outbound.py`` names anything that opens connections.
        """
        folder = Path(glancetx.__file__).parent
        guilty = {}
        for place, _, files in os.walk(folder, followlinks=True):  # backends is a link
            for path in (Path(place, name) for name in files if name.endswith(".py")):
                found = sorted(self.openings(ast.parse(path.read_bytes())))
                if found:
                    guilty[str(path.relative_to(folder))] = found
        self.assertIn("backends", os.listdir(folder))
        self.assertEqual(list(guilty), ["outbound.py"], guilty)

    def test_detector(self) -> None:
        """
        The search finds each way to open a connection.
        """
        for text in (
            "from twisted.web.client import Agent",
            "from twisted.web import client; client.Agent(reactor)",
            "reactor.connectTCP('h', 80, f)",
            "from twisted.internet.endpoints import clientFromString as c",
            "import treq; treq.get('http://h')",
            "from treq import get",
            "import urllib.request",
            "from urllib import request; from urllib.request import urlopen",
            "import socket; socket.create_connection(('h', 80))",
            "def f():\n    import requests",
        ):
            self.assertTrue(list(self.openings(ast.parse(text))), text)
        for text in ("import treq; treq.content(r)", "from socket import gethostname"):
            self.assertEqual(list(self.openings(ast.parse(text))), [], text)
