# Copyright glancetx contributors. See LICENSE for details.

"""
That a whole server answers whatever its OpenAPI document lets clients send, and what it
does not, with the statuses and bodies of the document: never with 500.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

from treq.client import HTTPClient
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent
from twisted.web.http_headers import Headers

from glancetx.identity.tokenfile import add_token

from .fuzzing import Found, choose, fuzz
from .twistd import Twistd

CONFIG = """
[server]
listen = ["tcp:0:interface=127.0.0.1"]
public_url = "http://zone.example.com"

[stores.main]
backend = "filesystem"
path = "pieces"
"""
ID = "00000000-0000-4000-8000-{:012}"
UNKNOWN = ID.format(0)
RECORD = {"disk_format": "raw", "container_format": "bare", "visibility": "shared"}
EXAMPLES = 20

#: What always refuses.
REFUSING = {
    "GET /v2/info/stores",
    "GET /v2/tasks/{task_id}",
    "POST /v2/images/{image_id}/locations",
    "POST /v2/tasks",
}


class FuzzCase(TestCase):
    """
    Runs a server in a process of its own.

    :ivar token: shown with every request of :meth:`ask`.
    :ivar faulty: what is found does not fail the test.
    """

    timeout = 600
    token = ""
    faulty = False
    made = 0

    def setUp(self) -> None:
        self.http = HTTPClient(Agent(reactor))
        self.server = Twistd(reactor, self.mktemp())
        self.addCleanup(lambda: Deferred.fromCoroutine(self.server.stop()))

    async def start(self, more: str = "") -> None:
        self.server.start("--config", self.server.configure(CONFIG + more))
        self.url = await self.server.url()

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Send JSON or bytes, and read the JSON that comes back."""
        kind = "octet-stream" if isinstance(body, bytes) else "json"
        response = await self.http.request(
            method,
            self.url + path,
            headers=Headers(
                {
                    b"Content-Type": [f"application/{kind}".encode()],
                    b"X-Auth-Token": [self.token.encode()],
                }
            ),
            data=body if isinstance(body, bytes) else json.dumps(body).encode(),
        )
        text = await response.content()
        self.assertLess(response.code, 300, text)
        return json.loads(text) if text else None

    async def make(self, body: bytes | None = b"bytes", **facts: Any) -> str:
        """
        Make an image, active unless there is no body.

        :returns: its id, the same each time that a test runs.
        """
        self.made += 1
        image_id = ID.format(self.made)
        await self.ask("POST", "/v2/images", {**RECORD, **facts, "id": image_id})
        if body is not None:
            await self.ask("PUT", f"/v2/images/{image_id}/file", body)
        return image_id

    async def fuzz(
        self, document: Mapping[str, Any], examples: int, **options: Any
    ) -> Found:
        """Ask everything; what is wrong with an answer fails the test."""
        found: Found = await deferToThread(
            fuzz, document, self.url, examples, **options
        )
        self.assertNotIn("Traceback", self.server.output)
        if found.failures and not self.faulty:
            self.fail("\n".join(found.failures))
        return found


def operations(document: Mapping[str, Any]) -> dict[str, Any]:
    """All of a document, by names as ``GET /v2/images``."""
    return {
        f"{method.upper()} {path}": item[method]
        for path, item in document["paths"].items()
        for method in item.keys() - {"parameters", "servers"}
    }


class EverythingTests(FuzzCase):
    """All routes of a server"""

    async def prepare(self, document: dict[str, Any]) -> None:
        """Make images in every state, and let requests meet them."""
        root = await self.make()
        images = [root, await self.make(parent_id=root), await self.make(None), UNKNOWN]
        for image_id in images[:2]:
            await self.ask("POST", f"/v2/images/{image_id}/members", {"member": "p1"})
        choose(document, "image_id", images)
        for path in ("/images/{image_id}", "/v2/images/{image_id}"):
            spare = [await self.make() for _ in range(3)]
            choose(document, "image_id", [*spare, UNKNOWN], f"DELETE {path}")
        for path in ("/images/{image_id}", "/v2/images/{image_id}/file"):
            queued = [await self.make(None) for _ in range(20)]
            choose(document, "image_id", [*queued, UNKNOWN], f"PUT {path}")
        await self.prepare_leases(document, root)
        choose(document, "x-image-meta-parent_id", [root, UNKNOWN])
        choose(document, "project", ["p1", "p2"])
        choose(document, "tag", ["t1", "t2"])
        choose(document, "version", ["v9", "v3.0"])
        choose(document, "rest", ["images"])
        choose(document, "name", ["image", "tasks"], "GET /v2/schemas/{name}")

    async def prepare_leases(self, document: dict[str, Any], image_id: str) -> None:
        """Let some servers need an image."""
        digest = {"algorithm": "sha256", "value": sha256(b"bytes").hexdigest()}
        holders = [str(UUID(int=number)) for number in range(10)]
        for holder in holders[1:]:
            body = {"digest": digest, "seconds": 60, "url": "http://zone.example.com"}
            await self.ask("PUT", f"/images/{image_id}/leases/{holder}", body)
        choose(document, "holder", holders)
        choose(
            document,
            "image_id",
            [image_id],
            "DELETE /images/{image_id}/leases/{holder}",
        )
        asked = document["components"]["schemas"]["lease"]["properties"]
        asked["digest"] = {"enum": [digest]}
        asked["url"] = {"enum": [body["url"]]}

    async def test_everything(self) -> None:
        """
        No request is answered 500, nor with a status or a body that is not described;
        and none of the routes refuses all of them.
        """
        await self.start()
        document = await self.ask("GET", "/openapi.json")
        await self.prepare(document)
        found = await self.fuzz(document, EXAMPLES)
        self.assertEqual(found.codes.keys(), operations(document).keys())
        refused = {label for label, codes in found.codes.items() if min(codes) >= 400}
        self.assertEqual(refused, REFUSING)


class CallerTests(FuzzCase):
    """All routes of a server that wants to know who asks"""

    TOKENS = '[identity]\nkind = "tokens"\ntokens_file = "tokens.toml"\n'

    async def prepare(self) -> dict[str, Any]:
        """Make images of a project, and let requests meet them."""
        path = f"{self.server.folder}/tokens.toml"
        self.token = self.add(path, "alice", "member")
        self.stranger = self.add(path, "stranger", "reader")
        await self.start(self.TOKENS)
        document: dict[str, Any] = await self.ask("GET", "/openapi.json")
        shown = await self.make(visibility="community")
        choose(document, "image_id", [shown, await self.make(), UNKNOWN])
        return document

    def add(self, path: str, user: str, role: str) -> str:
        now = datetime.now(UTC)
        return add_token(path, user, f"project-of-{user}", (role,), None, now).text

    async def test_nobody(self) -> None:
        """
        Without a token only what is said to be open can be had; the rest is a 401.
        """
        document = await self.prepare()
        found = await self.fuzz(document, 3, systematic=False)
        for label, operation in operations(document).items():
            if {} not in operation["security"]:
                self.assertLessEqual(found.codes[label], {400, 401}, label)
                self.assertIn(401, found.codes[label], label)

    async def test_stranger(self) -> None:
        """
        A reader of another project changes nothing, and hears only what is described.
        """
        document = await self.prepare()
        found = await self.fuzz(document, 5, token=self.stranger, systematic=False)
        for label, codes in found.codes.items():
            if not label.startswith("GET"):
                self.assertGreaterEqual(min(codes), 400, label)
        self.assertIn(200, found.codes["GET /v2/images/{image_id}"])


class FaultTests(FuzzCase):
    """The search itself"""

    faulty = True

    async def found(self, fault: Any) -> str:
        """What is found of one operation with a fault."""
        await self.start()
        document = await self.ask("GET", "/openapi.json")
        path = "/v2/schemas/{name}"
        document["paths"] = {path: document["paths"][path]}
        fault(document["paths"][path]["get"]["responses"])
        return "".join((await self.fuzz(document, 5)).failures)

    async def test_status(self) -> None:
        """
        A status that is not described is found.
        """
        self.assertIn(
            "Undocumented status code", await self.found(lambda r: r.pop("404"))
        )

    async def test_body(self) -> None:
        """
        A body that is not as described is found.
        """

        def fault(responses: dict[str, Any]) -> None:
            schema = {"type": "object", "required": ["nothing"]}
            responses["404"]["content"]["application/json"]["schema"] = schema

        self.assertIn("Response violates schema", await self.found(fault))
