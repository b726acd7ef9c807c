# Copyright glancetx contributors. See LICENSE for details.

"""
Names and properties with odd letters: refused, or inert and exact.
"""

from __future__ import annotations

import io
import json
import tarfile
from urllib.parse import quote

from tests.wire import Answer, Client, get

from .uploads import FORMAT, UploadCase, request

REFUSED = {
    "CR": b"a\rX-Evil: 1",
    "LF": b"a\nX-Evil: 1",
    "CR at the end": b"a\r",
    "TAB": b"a\tb",
    "NUL": b"a\0b",
    "escape": b"a\x1b[2Jb",
    "delete": b"a\x7fb",
    "C1": "a\x85b".encode(),
    "line separator": "a\u2028b".encode(),
    "paragraph separator": "a\u2029b".encode(),
    "latin-1": b"caf\xe9",
    "overlong": b"a\xc0\x8ab",
    "surrogate": b"a\xed\xa0\x80b",
    "UTF-8 cut short": "a\U0001f600".encode()[:-1],
}
KEPT = [
    'it\'s "quoted" \\ `twice`',
    "'; DROP TABLE images; --",
    "<script>alert(1)</script>&amp;",
    "a%0d%0aX-Evil:%201%00",
    "\\r\\n\\u0000 ${jndi} %s %n {0} {name}",
    "../../etc/passwd",
    "a;b,c=d:e?f&g#h",
    "\u202egnp.txt\u202c\u2066x\u2069",
    "\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627",
    "e\u0301 \u00e9 \u212b \ufb01 \uff21",
    "\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467\ufeff",
    "\xa0padded\u3000",
    "\U0001f4a9" * 255,
    "\ufffd\uffff\U0010ffff",
    "",
]


class NameTests(UploadCase):
    """What stands in ``x-image-meta-name`` and ``x-image-meta-property-*``"""

    async def post(self, name: bytes, prefix: bytes = b"Name") -> Answer:
        header = b"X-Image-Meta-" + prefix + b": " + name
        length = b"Content-Length: 5"
        return await self.send(
            request(b"POST", "/images", FORMAT, length, header) + b"bytes"
        )

    async def test_refused(self) -> None:
        """
        Letters that end a line or steer a terminal are a 400, and so is what is not
        UTF-8; nothing of them comes back.
        """
        await self.start()
        for prefix in (b"Name", b"Property-note"):
            for what, name in REFUSED.items():
                answer = await self.post(name, prefix)
                self.assertEqual(answer.code, 400, what)
                self.assertNotIn(b"x-evil", answer.headers, what)
                json.loads(answer.body)
        reply = await self.zone.ask("GET", "/images")
        self.assertEqual(reply.json, {"images": []})
        await self.check_kept()

    async def head(self, image_id: str) -> dict[bytes, bytes]:
        def work(client: Client) -> dict[bytes, bytes]:
            client.send(get(f"/images/{image_id}".encode("ascii"), b"HEAD"))
            return client.answer(head=True).headers

        return await self.raw(self.zone, work)

    async def test_kept(self) -> None:
        """
        All others come back as they were, wherever the name is shown, and no header
        more comes with them.
        """
        await self.start()
        plain = await self.zone.add(b"bytes", name="x", **{"property-note": "x"})
        usual = set(await self.head(plain))
        for name in KEPT:
            raw = name.encode("utf-8")
            note = {"property-note": name}
            image_id = await self.zone.add(b"bytes", name=name, **note)
            headers = await self.head(image_id)
            self.assertEqual(headers[b"x-image-meta-name"], raw)
            self.assertEqual(headers[b"x-image-meta-property-note"], raw)
            self.assertEqual(set(headers), usual)
            await self.check_shown(image_id, name)

    async def check_shown(self, image_id: str, name: str) -> None:
        for path in ("/images", "/images/detail"):
            query = f"{path}?name={quote(name, safe='')}"
            found = (await self.zone.ask("GET", query)).json["images"]
            self.assertEqual([one["name"] for one in found], [name])
        self.assertEqual(found[0]["properties"], {"note": name})
        child = await self.zone.add(b"child", image_id)
        chain = (await self.zone.ask("GET", f"/images/{child}/chain")).json["chain"]
        self.assertEqual([one["name"] for one in chain], [None, name])
        body = (await self.zone.ask("GET", f"/images/{child}/chain.tar")).body
        with tarfile.open(fileobj=io.BytesIO(body)) as archive:
            members = archive.getnames()
            manifest = archive.extractfile("manifest.json")
            assert manifest is not None
            said = json.load(manifest)
        self.assertEqual(members, ["manifest.json", "0.raw", "1.raw"])
        self.assertEqual(said["chain"][1]["name"], name)
