# Copyright glancetx contributors. See LICENSE for details.

"""
Pages of images of which much is said: they end before they are too large.
"""

from __future__ import annotations

from glancetx.catalogue import Query
from glancetx.limits import Limits

from .servers import RunningServer, ServerCase

SAID = "x" * 300


class WeightTests(ServerCase):
    """``limits.list_bytes``"""

    async def start(self) -> RunningServer:
        return await self.serve(limits=Limits(list_bytes=1000))

    async def pages(self, server: RunningServer, path: str) -> list[list[str]]:
        """The ids on each page of a list."""
        found = []
        while path:
            document = (await server.ask("GET", path)).json
            found.append([image["id"] for image in document["images"]])
            path = document.get("next", "")
        return found

    async def test_pages(self) -> None:
        """
        A page has what fits, but one image at least; nothing is left out between two.
        """
        server = await self.start()
        ids = [await server.add(None, property_a=SAID) for _ in range(7)]
        ids.append(await server.add(None, property_a=SAID * 5))
        ids += [await server.add(None, property_a=SAID) for _ in range(2)]
        expected = [ids[:-4:-1][:2], ids[-3:-4:-1], ids[-4:-7:-1], ids[-7:-10:-1]]
        expected.append(ids[:1])
        for path in ("/v2/images", "/images/detail"):
            found = await self.pages(server, f"{path}?limit=100")
            self.assertEqual(found, expected)

    async def test_tags(self) -> None:
        """
        Tags weigh as well, and a limit still holds.
        """
        server = await self.start()
        ids = [await server.add(None) for _ in range(4)]
        for image_id in ids:
            for tag in ("a" * 200, "ä" * 100):
                path = f"/v2/images/{image_id}/tags/{tag}".replace("ä", "%C3%A4")
                self.assertEqual((await server.ask("PUT", path)).code, 204)
        for limit, counts in ((1, [1] * 4), (100, [2, 2])):
            found = await self.pages(server, f"/v2/images?limit={limit}")
            self.assertEqual([len(page) for page in found], counts)

    async def test_not_loaded(self) -> None:
        """
        What is behind the page is not fetched but for one image, which shows that there
        is more.
        """
        server = await self.start()
        for _ in range(9):
            await server.add(None, property_a=SAID)
        for weight, count in ((0, 2), (301, 2), (302, 2), (602, 3), (10000, 9)):
            found = await server.parts.catalogue.list(Query(weight=weight))
            self.assertEqual(len(found), count, weight)
