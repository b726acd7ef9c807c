# Copyright glancetx contributors. See LICENSE for details.

"""
Records by the Image API v2 of a whole server, beside the one-call door.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from glancetx import parts
from glancetx.limits import Limits
from glancetx.web.v2.patch import MEDIA_TYPES, NEWER, OLDER

from .door import DATA, DoorCase
from .servers import Reply

JSON = "application/json"


class RecordCase(DoorCase):
    """A test with one server, whose callers may do everything."""

    async def make(self, **fields: Any) -> Any:
        """Create a record; returns it."""
        reply = await self.send("POST", "/v2/images", fields)
        self.assertEqual(reply.code, 201, reply)
        return reply.json

    async def send(
        self, method: str, path: str, document: Any, media_type: str = JSON
    ) -> Reply:
        body = json.dumps(document).encode("utf-8")
        return await self.zone.ask(method, path, {"Content-Type": media_type}, body)

    async def patch(
        self, image_id: str, *operations: Mapping[str, Any], media_type: str = NEWER
    ) -> Reply:
        path = f"/v2/images/{image_id}"
        return await self.send("PATCH", path, operations, media_type)

    async def record(self, image_id: str) -> Any:
        reply = await self.zone.ask("GET", f"/v2/images/{image_id}")
        self.assertEqual(reply.code, 200, reply)
        return reply.json

    async def names(self, query: str = "") -> list[str]:
        """The names of the images of a list."""
        reply = await self.zone.ask("GET", f"/v2/images?{query}")
        self.assertEqual(reply.code, 200, reply)
        return [image["name"] for image in reply.json["images"]]


class CreateTests(RecordCase):
    """``POST /v2/images``"""

    async def test_all(self) -> None:
        """
        A record has what was said of it, and is where its answer says.
        """
        await self.start()
        said: dict[str, Any] = {
            "id": str(uuid4()),
            "name": "Gölden",
            "visibility": "public",
            "protected": True,
            "os_hidden": True,
            "tags": ["b", "a"],
            "container_format": "bare",
            "disk_format": "qcow2",
            "min_disk": 1,
            "min_ram": 2,
            "Any key: é": "any\nvalue",
        }
        reply = await self.send("POST", "/v2/images", said)
        self.assertEqual(reply.code, 201)
        self.assertEqual(reply.headers["content-type"], "application/json")
        where = f"/v2/images/{said['id']}"
        self.assertEqual(reply.headers["location"], self.zone.url + where)
        expected = {**said, "tags": ["a", "b"], "status": "queued", "self": where}
        self.assertEqual({key: reply.json[key] for key in expected}, expected)
        self.assertEqual(await self.record(said["id"]), reply.json)

    async def test_nothing(self) -> None:
        """
        A record needs nothing; it is shared with nobody then.
        """
        await self.start()
        record = await self.make()
        self.assertEqual(record["visibility"], "shared")
        self.assertIsNone(record["disk_format"])
        self.assertFalse(record["protected"] or record["os_hidden"] or record["tags"])

    async def test_taken(self) -> None:
        """
        An id is given once, also if its image is deleted.
        """
        await self.start()
        image_id = (await self.make())["id"]
        reply = await self.send("POST", "/v2/images", {"id": image_id})
        self.assert_problem(reply, 409, image_id)
        await self.zone.ask("DELETE", f"/v2/images/{image_id}")
        reply = await self.send("POST", "/v2/images", {"id": image_id})
        self.assert_problem(reply, 409, image_id)

    async def test_refused(self) -> None:
        """
        What cannot be is refused by the name of the field, and nothing is made.
        """
        await self.start()
        for document, code, words in [
            ({"id": "x"}, 400, "id: must be a lower-case UUID"),
            ({"visibility": "x"}, 400, "visibility: must be one of"),
            ({"parent_id": str(uuid4())}, 400, "parent_id: "),
            ({"a": 1}, 400, "a: must be a text"),
            ({"\n": "x"}, 400, "must be 1 to 255 characters"),
            (["x"], 400, "body: must be an object"),
            ({"status": "active"}, 403, "status: is read-only"),
            ({"size": 5}, 403, "size: is read-only"),
            ({"locations": []}, 403, "locations: is read-only"),
            ({"os_glance_x": "y"}, 403, "os_glance_x: is a reserved name"),
            ({"deleted": "y"}, 403, "deleted: is a reserved name"),
            ({f"p{n}": "x" for n in range(129)}, 413, "properties: at most 128"),
            ({"tags": [f"{n}" for n in range(129)]}, 413, "tags: at most 128"),
        ]:
            reply = await self.send("POST", "/v2/images", document)
            self.assert_problem(reply, code, words)
        self.assertEqual(await self.names(), [])

    async def test_no_json(self) -> None:
        """
        A body that is no JSON is refused, or does not say that it is.
        """
        await self.start()
        for body, media_type, code, words in [
            (b"{", JSON, 400, "body: must be JSON"),
            (b"", JSON, 400, "body: must be JSON"),
            (b'{"name": "a", "name": "b"}', JSON, 400, "a key stands twice"),
            (b'{"name": "\\ud800"}', JSON, 400, "half of a surrogate pair"),
            (b"{}", "text/plain", 415, "Content-Type: must be application/json"),
            (b"{}", NEWER, 415, "Content-Type: must be application/json"),
        ]:
            headers = {"Content-Type": media_type}
            reply = await self.zone.ask("POST", "/v2/images", headers, body)
            self.assert_problem(reply, code, words)
        headers = {"Content-Type": "Application/JSON; charset=utf-8"}
        reply = await self.zone.ask("POST", "/v2/images", headers, b"{}")
        self.assertEqual(reply.code, 201)

    async def test_large(self) -> None:
        """
        A body has a bound, and so have all properties together, by either door.
        """
        self.zone = await self.serve(limits=Limits(json_bytes=1000, property_bytes=900))
        reply = await self.send("POST", "/v2/images", {"a": "x" * 1000})
        self.assert_problem(reply, 413, "bytes of the body: at most 1000")
        reply = await self.send("POST", "/v2/images", {"a": "x" * 900})
        self.assert_problem(reply, 413, "all properties together: at most 900")
        reply = await self.post(None, **{"property-a": "é" * 450})
        self.assert_problem(reply, 413, "all properties together: at most 900")
        image_id = (await self.make(a="x" * 898))["id"]
        add = {"op": "add", "path": "/b", "value": "x"}
        reply = await self.patch(image_id, add)
        self.assert_problem(reply, 413, "all properties together: at most 900")
        remove = {"op": "remove", "path": "/a"}
        self.assertEqual((await self.patch(image_id, add, remove)).json["b"], "x")


class ShowTests(RecordCase):
    """``GET /v2/images/ID``"""

    async def test_unknown(self) -> None:
        """
        What is no id of an image is as unknown as an id that nobody has.
        """
        await self.start()
        for image_id in (str(uuid4()), "golden", "x" * 300, str(uuid4()).upper()):
            path = f"/v2/images/{image_id}"
            for method in ("GET", "DELETE"):
                reply = await self.zone.ask(method, path)
                self.assert_problem(reply, 404, f"no image {image_id}")
            self.assert_problem(await self.patch(image_id), 404, image_id)
            for action in ("deactivate", "reactivate"):
                reply = await self.zone.ask("POST", f"{path}/actions/{action}")
                self.assert_problem(reply, 404, image_id)

    async def test_head(self) -> None:
        """
        HEAD has the headers of GET.
        """
        await self.start()
        path = f"/v2/images/{(await self.make(name='x'))['id']}"
        shown, head = [await self.zone.ask(m, path) for m in ("GET", "HEAD")]
        self.assertEqual((head.code, head.body), (200, b""))
        own = {"date", "x-openstack-request-id"}
        for name in shown.headers.keys() - own:
            self.assertEqual(head.headers[name], shown.headers[name])

    async def test_other_versions(self) -> None:
        """
        The paths of minor versions are the same.
        """
        await self.start()
        record = await self.make(name="x")
        reply = await self.zone.ask("GET", f"/v2.5/images/{record['id']}")
        self.assertEqual(reply.json, record)

    async def test_methods(self) -> None:
        """
        Other methods are told which there are.
        """
        await self.start()
        path = f"/v2/images/{(await self.make())['id']}"
        for method, target, allowed in [
            ("PUT", path, "DELETE, GET, HEAD, PATCH"),
            ("DELETE", "/v2/images", "GET, HEAD, POST"),
            ("GET", f"{path}/actions/deactivate", "POST"),
        ]:
            reply = await self.zone.ask(method, target, None, b"")
            self.assert_problem(reply, 405)
            self.assertEqual(reply.headers["allow"], allowed)


class PatchTests(RecordCase):
    """``PATCH /v2/images/ID``"""

    async def test_change(self) -> None:
        """
        The answer is the record as it is from now on.
        """
        await self.start()
        before = await self.make(name="old", gone="x", tags=["a"])
        reply = await self.patch(
            before["id"],
            {"op": "replace", "path": "/name", "value": "new"},
            {"op": "replace", "path": "/tags", "value": ["b", "c"]},
            {"op": "add", "path": "/protected", "value": True},
            {"op": "add", "path": "/a~1b", "value": "c"},
            {"op": "remove", "path": "/gone"},
        )
        self.assertEqual(reply.code, 200)
        self.assertEqual(await self.record(before["id"]), reply.json)
        expected = {**before, "name": "new", "tags": ["b", "c"], "protected": True}
        del expected["gone"]
        expected |= {"a/b": "c", "updated_at": reply.json["updated_at"]}
        self.assertEqual(reply.json, expected)

    async def test_updated(self) -> None:
        """
        What is changed was updated; not so what is told to be as it is.
        """
        times = [datetime(2026, 11, 23, hour, tzinfo=UTC) for hour in (10, 11, 12)]
        DoorCase.patch(self, parts, "utcnow", lambda: times[0])
        await self.start()
        image_id = (await self.make(name="a", tags=["b"]))["id"]
        times.pop(0)
        same = {"op": "replace", "path": "/name", "value": "a"}
        for reply in (
            await self.patch(image_id),
            await self.patch(image_id, same),
            await self.zone.ask("PUT", f"/v2/images/{image_id}/tags/b", None, b""),
        ):
            self.assertIn(reply.code, (200, 204))
            updated = (await self.record(image_id))["updated_at"]
            self.assertEqual(updated, "2026-11-23T10:00:00Z")
        reply = await self.patch(image_id, {**same, "value": "c"})
        self.assertEqual(reply.json["updated_at"], "2026-11-23T11:00:00Z")
        times.pop(0)
        await self.zone.ask("PUT", f"/v2/images/{image_id}/tags/c", None, b"")
        updated = (await self.record(image_id))["updated_at"]
        self.assertEqual(updated, "2026-11-23T12:00:00Z")

    async def test_older(self) -> None:
        """
        The older media type changes, too.
        """
        await self.start()
        image_id = (await self.make(name="old"))["id"]
        reply = await self.patch(
            image_id,
            {"replace": "/name", "value": "new"},
            {"add": "/a", "value": "b"},
            media_type=OLDER,
        )
        self.assertEqual((reply.json["name"], reply.json["a"]), ("new", "b"))
        again = {"add": "/a", "value": "c"}
        reply = await self.patch(image_id, again, media_type=OLDER)
        self.assert_problem(reply, 409, "a: is there already")

    async def test_whole_or_not(self) -> None:
        """
        If one operation fails none is done.
        """
        await self.start()
        before = await self.make(name="old")
        name = {"op": "replace", "path": "/name", "value": "new"}
        for path, code in [("/missing", 409), ("/min_disk", 403), ("/size", 403)]:
            remove = {"op": "remove", "path": path}
            reply = await self.patch(before["id"], name, remove)
            self.assert_problem(reply, code, f"{path[1:]}: ")
        self.assertEqual(await self.record(before["id"]), before)

    async def test_media_types(self) -> None:
        """
        Other media types are told the two that there are.
        """
        await self.start()
        image_id = (await self.make())["id"]
        path = f"/v2/images/{image_id}"
        for media_type in (JSON, "application/json-patch+json", "", "x"):
            reply = await self.send("PATCH", path, [], media_type)
            self.assert_problem(reply, 415, *MEDIA_TYPES)
            self.assertEqual(reply.headers["accept-patch"], ", ".join(MEDIA_TYPES))
        reply = await self.send("PATCH", path, [], f"{NEWER.upper()}; charset=UTF-8")
        self.assertEqual(reply.code, 200)

    async def test_formats(self) -> None:
        """
        Formats can be changed until the bytes come, and not afterwards.
        """
        await self.start()
        image_id = (await self.make(disk_format="qcow2", container_format="bare"))["id"]
        raw = {"op": "replace", "path": "/disk_format", "value": "raw"}
        self.assertEqual((await self.patch(image_id, raw)).json["disk_format"], "raw")
        await self.zone.ask("PUT", f"/images/{image_id}", None, DATA)
        iso = {"op": "replace", "path": "/disk_format", "value": "iso"}
        box = {"op": "replace", "path": "/container_format", "value": "ova"}
        for operation in (iso, box):
            reply = await self.patch(image_id, operation)
            self.assert_problem(reply, 403, f"{operation['path'][1:]}: cannot be")

    async def test_nonsense(self) -> None:
        """
        What is no list of operations is refused.
        """
        await self.start()
        path = f"/v2/images/{(await self.make())['id']}"
        documents: list[Any] = [{}, None, [{"op": "move", "path": "/a"}], [{}]]
        for document in documents:
            reply = await self.send("PATCH", path, document, NEWER)
            self.assert_problem(reply, 400, "body")


class RemoveTests(RecordCase):
    """``DELETE /v2/images/ID``"""

    async def test_remove(self) -> None:
        """
        A deleted image is gone, and so are its bytes.
        """
        await self.start()
        path = f"/v2/images/{await self.zone.add(DATA)}"
        reply = await self.zone.ask("DELETE", path)
        self.assertEqual((reply.code, reply.body), (204, b""))
        self.assertEqual((await self.zone.ask("GET", path)).code, 404)
        self.assertEqual(self.zone.pieces(), [])

    async def test_protected(self) -> None:
        """
        What is protected is not deleted, by either door, until that is taken back.
        """
        await self.start()
        image_id = (await self.make(protected=True))["id"]
        for path in (f"/v2/images/{image_id}", f"/images/{image_id}"):
            reply = await self.zone.ask("DELETE", path)
            self.assert_problem(reply, 403, "is protected")
        free = {"op": "replace", "path": "/protected", "value": False}
        await self.patch(image_id, free)
        reply = await self.zone.ask("DELETE", f"/v2/images/{image_id}")
        self.assertEqual(reply.code, 204)

    async def test_parent(self) -> None:
        """
        A parent stays as long as a child is here, whatever is forced.
        """
        await self.start()
        parent = await self.zone.add(DATA)
        child = await self.zone.add(b"difference", parent)
        for query in ("", "?force=true"):
            reply = await self.zone.ask("DELETE", f"/v2/images/{parent}{query}")
            self.assert_problem(reply, 409, child)


class ActionTests(RecordCase):
    """``POST /v2/images/ID/actions/...``"""

    async def test_both(self) -> None:
        """
        An image is deactivated and reactivated, once or more.
        """
        await self.start()
        image_id = await self.zone.add(DATA)
        for action, status in [
            ("deactivate", "deactivated"),
            ("deactivate", "deactivated"),
            ("reactivate", "active"),
            ("reactivate", "active"),
        ]:
            path = f"/v2/images/{image_id}/actions/{action}"
            reply = await self.zone.ask("POST", path, None, b"")
            self.assertEqual((reply.code, reply.body), (204, b""))
            self.assertEqual((await self.record(image_id))["status"], status)

    async def test_queued(self) -> None:
        """
        What has no bytes can be neither.
        """
        await self.start()
        image_id = (await self.make())["id"]
        for action in ("deactivate", "reactivate"):
            path = f"/v2/images/{image_id}/actions/{action}"
            reply = await self.zone.ask("POST", path)
            self.assert_problem(reply, 400, "status: ", "is queued")


class ListTests(RecordCase):
    """``GET /v2/images``"""

    async def test_pages(self) -> None:
        """
        Pages lead from one to the next, and the last one to none.
        """
        await self.start()
        for name in "abcde":
            await self.make(name=name, tags=["x", "y"])
        path = "/v2/images?limit=2&sort=name:asc&tag=y&tag=x"
        seen = []
        while path:
            page = (await self.zone.ask("GET", path)).json
            self.assertEqual(page["schema"], "/v2/schemas/images")
            self.assertEqual(
                page["first"], "/v2/images?limit=2&sort=name%3Aasc&tag=y&tag=x"
            )
            seen.append("".join(image["name"] for image in page["images"]))
            path = page.get("next")
        self.assertEqual(seen, ["ab", "cd", "e"])

    async def test_full_last_page(self) -> None:
        """
        Nothing follows a page that is full by chance, and none of no images.
        """
        await self.start()
        for name in "ab":
            await self.make(name=name)
        for limit, count in (("2", 2), ("3", 2), ("0", 0)):
            page = (await self.zone.ask("GET", f"/v2/images?limit={limit}")).json
            self.assertEqual(len(page["images"]), count)
            self.assertNotIn("next", page)

    async def test_records(self) -> None:
        """
        A list shows of each image what it shows of one.
        """
        await self.start()
        record = await self.make(name="a", tags=["t"], os_type="linux")
        (found,) = (await self.zone.ask("GET", "/v2/images")).json["images"]
        self.assertEqual(found, record)

    async def test_filters(self) -> None:
        """
        Filters leave images out.
        """
        await self.start()
        small = await self.zone.add(b"1", name="small")
        await self.zone.add(b"22", name="large", **{"property-os": "linux"})
        await self.zone.add(b"3", small, name="child", visibility="private")
        await self.make(name="queued", os_hidden=False, protected=True, min_ram=7)
        await self.make(name="hidden", os_hidden=True, visibility="public")
        for query, expected in [
            ("", ["child", "large", "queued", "small"]),
            ("os_hidden=True", ["hidden"]),
            ("name=large", ["large"]),
            ("name=in:large,%22small%22", ["large", "small"]),
            ("status=queued", ["queued"]),
            ("size_min=2", ["large"]),
            ("size=1", ["child", "small"]),
            ("os=linux", ["large"]),
            ("os=windows", []),
            ("protected=true", ["queued"]),
            ("min_ram_min=7", ["queued"]),
            ("min_ram=8", []),
            ("visibility=shared", ["queued"]),
            ("visibility=public", []),
            (f"parent_id={small}", ["child"]),
            (f"os_glance_parent_id={self.zone.uri(small)}", ["child"]),
            ("created_at=gt:2000-01-01T00:00:00Z&size_max=1", ["child", "small"]),
            ("created_at=lt:2000-01-01T00:00:00Z", []),
        ]:
            self.assertEqual(await self.names(f"{query}&sort=name:asc"), expected)

    async def test_refused(self) -> None:
        """
        What cannot be asked for is refused by its name.
        """
        await self.start()
        for query, words in [
            ("limit=-1", "limit: must be a whole number"),
            (f"marker={uuid4()}", "marker: "),
            ("sort=owner", "sort: must be one of"),
            ("changes-since=2026", "changes-since: is not supported"),
            ("name=in:%22a", "name: must have a quoted value"),
        ]:
            reply = await self.zone.ask("GET", f"/v2/images?{query}")
            self.assert_problem(reply, 400, words)


class TwoFacesTests(RecordCase):
    """The one-call door and the Image API."""

    async def test_door_then_v2(self) -> None:
        """
        What the door makes the Image API shows.
        """
        await self.start()
        parent = await self.zone.add(DATA, name="golden", visibility="public")
        made = await self.zone.add(
            b"difference",
            self.zone.uri(parent),
            name="snapshot",
            protected="true",
            visibility="community",
            **{"property-base_image_ref": parent},
        )
        record = await self.record(made)
        expected = {
            "name": "snapshot",
            "status": "active",
            "visibility": "community",
            "protected": True,
            "container_format": "bare",
            "disk_format": "raw",
            "size": 10,
            "base_image_ref": parent,
            "os_glance_parent_id": self.zone.uri(parent),
            "os_glance_chain_length": "2",
        }
        self.assertEqual({key: record[key] for key in expected}, expected)
        shown = (await self.show(made)).headers
        for name in ("checksum", "os_hash_algo", "os_hash_value", "updated_at"):
            self.assertEqual(shown[f"x-image-meta-{name}"], record[name])

    async def test_v2_then_door(self) -> None:
        """
        What the Image API makes the door shows, and takes the bytes for.
        """
        await self.start()
        parent = await self.zone.add(DATA)
        record = await self.make(
            name="snapshot",
            disk_format="raw",
            container_format="bare",
            visibility="private",
            parent_id=parent,
            os_type="linux",
            tags=["t"],
        )
        image_id = record["id"]
        reply = await self.zone.ask("PUT", f"/images/{image_id}", None, b"difference")
        self.assertEqual(reply.json["image"]["tags"], ["t"])
        shown = (await self.show(image_id)).headers
        for name, value in {
            "name": "snapshot",
            "status": "active",
            "visibility": "private",
            "is_public": "False",
            "protected": "False",
            "parent_id": self.zone.uri(parent),
            "property-os_type": "linux",
        }.items():
            self.assertEqual(shown[f"x-image-meta-{name}"], value)
        stream = await self.zone.ask("GET", f"/images/{image_id}/stream")
        self.assertEqual(stream.body, b"difference" + DATA)

    async def test_odd_properties(self) -> None:
        """
        The door gives the bytes of an image whose properties fit into no header.
        """
        await self.start()
        odd = {
            "Upper": "x",
            "a: b": "x",
            "é": "x",
            "long": "x" * 20000,
            "lines": "a\r\nX-Evil: b",
        }
        many = {f"p{number}": "x" * 1000 for number in range(30)}
        image_id = (
            await self.make(disk_format="raw", container_format="bare", **odd, **many)
        )["id"]
        await self.zone.ask("PUT", f"/images/{image_id}", None, DATA)
        reply = await self.zone.ask("GET", f"/images/{image_id}")
        self.assertEqual((reply.code, reply.body), (200, DATA))
        self.assertNotIn("x-evil", reply.headers)
        shown = [name for name in reply.headers if "-property-" in name]
        omitted = int(reply.headers["x-image-meta-properties-omitted"])
        self.assertEqual(len(shown) + omitted, len(odd) + len(many))
        self.assertEqual(
            reply.headers["x-image-meta-property-lines"], "a%0D%0AX-Evil: b"
        )
        detail = (await self.zone.ask("GET", "/images/detail")).json["images"]
        self.assertEqual(detail[0]["properties"], {**odd, **many})

    async def test_parent_is_for_ever(self) -> None:
        """
        A parent is given when an image is made, and never changes.
        """
        await self.start()
        parent, other = await self.zone.add(DATA), await self.zone.add(DATA)
        record = await self.make(os_glance_parent_id=parent)
        operations: Sequence[dict[str, str]] = [
            {"op": "replace", "path": "/os_glance_parent_id", "value": other},
            {"op": "remove", "path": "/os_glance_parent_id"},
            {"op": "add", "path": "/parent_id", "value": other},
        ]
        for operation in operations:
            reply = await self.patch(record["id"], operation)
            self.assert_problem(reply, 403, "is given when an image is made")
        self.assertEqual(await self.record(record["id"]), record)
