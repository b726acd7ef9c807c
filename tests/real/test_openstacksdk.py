# Copyright glancetx contributors. See LICENSE for details.

"""
Programs that use ``conn.image`` of openstacksdk.
"""

from __future__ import annotations

from hashlib import md5, sha256
from random import Random
from typing import Any
from uuid import uuid4

from .clients import ClientCase

DISK = Random(9).randbytes(300_000)
NOBODY = "00000000-0000-4000-8000-000000000000"


class SDKCase(ClientCase):
    """Tests of programs, which run in the clients' Python."""

    def disk(self, name: str, **more: Any) -> str:
        """The id of Alice's new image with bytes."""

        def create(conn: Any, name: str, file: str, more: Any) -> Any:
            given = {"disk_format": "raw", "filename": file, "wait": True, **more}
            return conn.image.create_image(name, **given).id

        file = self.file("disk", DISK)
        return str(self.alice.calls("openstacksdk", create, name, file, more))


class CreateTests(SDKCase):
    """``create_image`` and ``upload_image``"""

    def test_file(self) -> None:
        """
        A file, and all that can be said of it, are the image.
        """

        def create(conn: Any, file: str) -> Any:
            made = conn.image.create_image(
                "full",
                filename=file,
                wait=True,
                disk_format="raw",
                container_format="bare",
                visibility="private",
                is_protected=True,
                min_disk=3,
                min_ram=64,
                tags=["red", "dark blue"],
                meta={"os_distro": "debian"},
                number=5,
            )
            return conn.image.get_image(made.id).to_dict()

        made = self.alice.calls("openstacksdk", create, self.file("disk", DISK))
        self.assertEqual(made["status"], "active")
        self.assertEqual(made["size"], len(DISK))
        self.assertEqual(made["checksum"], md5(DISK).hexdigest())
        self.assertEqual(made["hash_value"], sha256(DISK).hexdigest())
        self.assertEqual(made["visibility"], "private")
        self.assertIs(made["is_protected"], True)
        self.assertIs(made["is_hidden"], False)
        self.assertEqual((made["min_disk"], made["min_ram"]), (3, 64))
        self.assertEqual(made["tags"], ["dark blue", "red"])
        self.assertEqual(made["os_distro"], "debian")
        self.assertEqual(made["properties"]["number"], "5")
        self.assertEqual(made["owner_id"], self.alice.project_id)

    def test_checksums(self) -> None:
        """
        Checksums that a program gives are kept with the image, and tell it again.
        """

        def create(conn: Any, file: str, checksum: str) -> Any:
            first, second = (
                conn.image.create_image(
                    "same",
                    filename=file,
                    md5=checksum,
                    validate_checksum=True,
                    disk_format="raw",
                    wait=True,
                )
                for _ in range(2)
            )
            return [first.id, second.id]

        file = self.file("disk", DISK)
        checksum = md5(DISK).hexdigest()
        first, second = self.alice.calls("openstacksdk", create, file, checksum)
        self.assertEqual(first, second)

    def test_data(self) -> None:
        """
        Bytes in memory are sent with the call, or later.
        """

        def create(conn: Any) -> Any:
            image = conn.image.create_image(
                "now", data=b"some bytes", disk_format="raw", wait=True
            )
            later = conn.image.create_image("later", disk_format="raw")
            before = conn.image.get_image(later.id)
            conn.image.upload_image(
                name="other",
                data=b"more bytes",
                disk_format="raw",
                container_format="bare",
            )
            before.data = b"the bytes"
            before.upload(conn.image)
            after = conn.image.get_image(later.id)
            other = conn.image.find_image("other")
            image = conn.image.get_image(image.id)
            return [[one.status, one.size] for one in (image, before, after, other)]

        seen = self.alice.calls("openstacksdk", create)
        full = [["active", 10], ["queued", None], ["active", 9], ["active", 10]]
        self.assertEqual(seen, full)

    def test_errors(self) -> None:
        """
        What goes wrong has the type and the words that programs look for.
        """

        def create(conn: Any, more: Any) -> Any:
            conn.image.create_image("bad", **more)

        taken = self.disk("taken")
        for person, more, error, words in (
            (self.alice, {"id": taken}, "ConflictException: 409", "is or was taken"),
            (self.alice, {"id": "x"}, "BadRequestException: 400", "id: must be"),
            (self.alice, {"visibility": "public"}, "ForbiddenException: 403", "public"),
            (self.rita, {}, "ForbiddenException: 403", "add_image"),
        ):
            said = person.fails("openstacksdk", create, more)
            self.assertIn(f"{error}: ", said)
            self.assertIn(words, said)


class LookTests(SDKCase):
    """``get_image``, ``find_image``, ``images`` and ``download_image``"""

    def test_find(self) -> None:
        """
        An image is found by its id and its name, by those who may know of it.
        """

        def find(conn: Any, names: Any) -> Any:
            found = [conn.image.find_image(name) for name in names]
            return [image and image.id for image in found]

        where = self.disk("findable", visibility="private")
        self.alice.types(f"openstack image set --hidden {where}")
        names = ["findable", where, "unfindable", NOBODY]
        seen = self.alice.calls("openstacksdk", find, names)
        self.assertEqual(seen, [where, where, None, None])
        self.assertEqual(self.bob.calls("openstacksdk", find, names), [None] * 4)

    def test_unknown(self) -> None:
        """
        What is not there raises what programs look for.
        """

        def get(conn: Any, image_id: str) -> Any:
            conn.image.get_image(image_id)

        where = self.disk("unknown", visibility="private")
        for image_id in (where, NOBODY, "no-id"):
            said = self.bob.fails("openstacksdk", get, image_id)
            start = (
                f"openstack.exceptions.NotFoundException: No Image found for {image_id}"
            )
            self.assertTrue(said.startswith(start), said)

    def test_images(self) -> None:
        """
        A list goes on over its pages, in the order and with the filters asked for.
        """

        def fill(conn: Any, count: int) -> Any:
            for number in range(count):
                conn.image.create_image(f"i{number:02}", tags=["i"])

        def names(conn: Any, query: Any) -> Any:
            return [image.name for image in conn.image.images(**query)]

        self.alice.calls("openstacksdk", fill, 60)
        expected = [f"i{number:02}" for number in range(60)]
        query: dict[str, Any]
        for query, wanted in (
            ({}, expected[::-1]),
            ({"limit": 7}, expected[::-1]),
            ({"sort": "name:asc"}, expected),
            ({"sort_key": "name", "sort_dir": "asc", "limit": 25}, expected),
            ({"name": "in:i01,i58", "sort": "name:asc"}, ["i01", "i58"]),
            ({"size_min": 1}, []),
            ({"is_hidden": True}, []),
            ({"is_protected": "true"}, []),
            ({"created_at": "gt:2100-01-01T00:00:00Z"}, []),
            ({"created_at": "lt:2100-01-01T00:00:00Z"}, expected[::-1]),
            ({"visibility": "shared", "status": "queued"}, expected[::-1]),
            ({"owner": self.bob.project_id}, []),
        ):
            seen = self.alice.calls("openstacksdk", names, {"tag": "i", **query})
            self.assertEqual(seen, wanted, query)

    def test_download(self) -> None:
        """
        The bytes come back into a file, into memory, or as a stream.
        """

        def download(conn: Any, image_id: str) -> Any:
            import hashlib  # noqa: PLC0415

            conn.image.download_image(image_id, output="got")
            with open("got2", "wb") as file:
                conn.image.download_image(image_id, output=file)
            whole = conn.image.download_image(image_id).content
            stream = conn.image.download_image(image_id, stream=True)
            chunks = b"".join(stream.iter_content(chunk_size=10_000))
            return [hashlib.sha256(data).hexdigest() for data in (whole, chunks)]

        where = self.disk("download")
        digests = self.alice.calls("openstacksdk", download, where)
        self.assertEqual(digests, [sha256(DISK).hexdigest()] * 2)
        self.assertEqual(self.read("got"), DISK)
        self.assertEqual(self.read("got2"), DISK)

    def test_schemas(self) -> None:
        """
        The schemas, what can be imported and the stores are as they are.
        """

        def read(conn: Any) -> Any:
            names = ("images", "image", "members", "member", "tasks", "task")
            kinds = [getattr(conn.image, f"get_{name}_schema")().name for name in names]
            return [kinds, conn.image.get_import_info().import_methods["value"]]

        def stores(conn: Any) -> Any:
            list(conn.image.stores())

        kinds, methods = self.alice.calls("openstacksdk", read)
        self.assertEqual(
            kinds, ["images", "image", "members", "member", "tasks", "task"]
        )
        self.assertEqual(methods, [])
        said = self.alice.fails("openstacksdk", stores)
        self.assertIn("openstack.exceptions.NotFoundException", said)


class ChangeTests(SDKCase):
    """``update_image``, tags, ``deactivate_image`` and ``delete_image``"""

    def test_update(self) -> None:
        """
        What is changed is changed, and the rest stays.
        """

        def update(conn: Any, image_id: str) -> Any:
            image = conn.image.update_image(
                image_id,
                name="changed",
                min_disk=4,
                is_hidden=True,
                is_protected=True,
                visibility="community",
                os_distro="debian",
                mine="yes",
            )
            conn.image.update_image_properties(image, meta={"mine": "no", "b": "c"})
            conn.image.update_image(image_id, tags=["one", "two"])
            return conn.image.get_image(image_id).to_dict()

        where = self.disk("before", keep="it")
        after = self.alice.calls("openstacksdk", update, where)
        self.assertEqual(after["name"], "changed")
        self.assertEqual(after["min_disk"], 4)
        self.assertIs(after["is_hidden"], True)
        self.assertIs(after["is_protected"], True)
        self.assertEqual(after["visibility"], "community")
        self.assertEqual(after["os_distro"], "debian")
        self.assertEqual(after["properties"]["mine"], "no")
        self.assertEqual(after["properties"]["b"], "c")
        self.assertEqual(after["properties"]["keep"], "it")
        self.assertEqual(after["tags"], ["one", "two"])
        self.assertEqual(after["hash_value"], sha256(DISK).hexdigest())

    def test_tags(self) -> None:
        """
        Tags come and go one by one.
        """

        def tag(conn: Any, image_id: str) -> Any:
            seen = []
            for verb, name in (
                ("add", "b c"),
                ("add", "\N{SNOWMAN}"),
                ("remove", "b c"),
            ):
                getattr(conn.image, f"{verb}_tag")(image_id, name)
                seen.append(conn.image.get_image(image_id).tags)
            return seen

        where = self.disk("tags")
        seen = self.alice.calls("openstacksdk", tag, where)
        self.assertEqual(seen, [["b c"], ["b c", "\N{SNOWMAN}"], ["\N{SNOWMAN}"]])

    def test_deactivate(self) -> None:
        """
        A deactivated image is not read until it is reactivated.
        """

        def deactivate(conn: Any, image_id: str) -> Any:
            conn.image.deactivate_image(image_id)
            before = conn.image.get_image(image_id).status
            refused = conn.image.get(f"/images/{image_id}/file").status_code
            conn.image.reactivate_image(image_id)
            after = conn.image.get_image(image_id).status
            return [before, refused, after]

        where = self.disk("pausing")
        seen = self.alice.calls("openstacksdk", deactivate, where)
        self.assertEqual(seen, ["deactivated", 403, "active"])

    def test_delete(self) -> None:
        """
        An image is deleted once, a protected one not at all.
        """

        def delete(conn: Any, image_id: str) -> Any:
            conn.image.delete_image(image_id, ignore_missing=False)

        where, kept = self.disk("deleted"), self.disk("kept", is_protected=True)
        self.alice.calls("openstacksdk", delete, where)
        for person, image_id, error in (
            (self.alice, where, "NotFoundException: 404: "),
            (self.alice, kept, "ForbiddenException: 403: "),
            (self.rita, kept, "ForbiddenException: 403: "),
        ):
            said = person.fails("openstacksdk", delete, image_id)
            self.assertIn(error, said)


class ShareTests(SDKCase):
    """Members"""

    def test_share(self) -> None:
        """
        An image is offered, accepted, used, and taken back.
        """

        def offer(conn: Any, image_id: str, project: str) -> Any:
            conn.image.add_member(image_id, member_id=project)
            return [one.to_dict() for one in conn.image.members(image_id)]

        def accept(conn: Any, image_id: str, project: str) -> Any:
            before = [one.id for one in conn.image.images()]
            pending = [one.id for one in conn.image.images(member_status="pending")]
            conn.image.update_member(project, image_id, status="accepted")
            after = [one.id for one in conn.image.images()]
            content = conn.image.download_image(image_id).content
            return [before, pending, after, len(content)]

        def take(conn: Any, image_id: str, project: str) -> Any:
            status = conn.image.get_member(project, image_id).status
            found = conn.image.find_member(project, image_id).member_id
            conn.image.remove_member(project, image=image_id, ignore_missing=False)
            return [status, found, len(list(conn.image.members(image_id)))]

        where, beta = self.disk("lent"), self.bob.project_id
        (offered,) = self.alice.calls("openstacksdk", offer, where, beta)
        self.assertEqual(offered["member_id"], beta)
        self.assertEqual(offered["status"], "pending")
        seen = self.bob.calls("openstacksdk", accept, where, beta)
        self.assertEqual(seen, [[], [where], [where], len(DISK)])
        seen = self.alice.calls("openstacksdk", take, where, beta)
        self.assertEqual(seen, ["accepted", beta, 0])


class ParentTests(SDKCase):
    """Images that are differences to others, which the clients know nothing of"""

    def setUp(self) -> None:
        super().setUp()
        self.parent = self.disk(f"golden-{uuid4()}")
        self.child = self.disk(f"child-{uuid4()}", os_glance_parent_id=self.parent)

    def test_download(self) -> None:
        """
        No client gets half a disk and takes it for a whole one.
        """

        def download(conn: Any, image_id: str) -> Any:
            conn.image.download_image(image_id, output="half")

        def stream(conn: Any, image_id: str) -> Any:
            conn.image.download_image(image_id, stream=True).raise_for_status()

        def read(client: Any, image_id: str) -> Any:
            client.images.data(image_id)

        said = self.alice.fails("openstacksdk", download, self.child)
        self.assertIn("SDKException: Unable to download image: checksum", said)
        said = self.alice.fails("openstacksdk", stream, self.child)
        self.assertIn("403", said)
        said = self.alice.fails("glanceclient", read, self.child)
        self.assertIn("glanceclient.exc.HTTPForbidden", said)
        self.assertIn(f"/images/{self.child}/stream", said)
        self.alice.is_refused(f"openstack image save --file half {self.child}")
        said = self.alice.is_refused(f"glance image-download --file half {self.child}")
        self.assertIn("glancetx restore", said)

    def test_own(self) -> None:
        """
        Who asks for the image's own bytes gets them, and the whole chain by its name.
        """
        path = f"/v2/images/{self.child}/file"
        reply = self.alice.asks("GET", f"{path}?layout=own")
        self.assertEqual(reply.code, 200)
        self.assertEqual(reply.body, DISK)
        reply = self.alice.asks("GET", path)
        self.assertEqual(reply.code, 403)
        self.assertIn("?layout=own", reply.problem)
        reply = self.alice.asks("GET", f"/images/{self.child}/stream")
        self.assertEqual(reply.body, DISK + DISK)

    def test_shown(self) -> None:
        """
        All clients show the parent as text, and none can change it.
        """

        def show(conn: Any, image_id: str) -> Any:
            return conn.image.get_image(image_id).properties

        properties = self.alice.calls("openstacksdk", show, self.child)
        shown = properties["os_glance_parent_id"]
        self.assertTrue(shown.endswith(f"/images/{self.parent}"), shown)
        self.assertIn(shown, self.alice.types(f"glance image-show {self.child}"))
        renamed = f"glance image-update --name other-{uuid4()} {self.child}"
        self.assertIn(shown, self.alice.types(renamed))
        for command in (
            f"openstack image set --property os_glance_parent_id=x {self.child}",
            f"glance image-update --remove-property os_glance_parent_id {self.child}",
        ):
            self.assertIn("os_glance_parent_id", self.alice.is_refused(command))

    def test_delete(self) -> None:
        """
        A parent stays as long as its child.
        """
        said = self.alice.is_refused(f"openstack image delete {self.parent}")
        self.assertIn("ConflictException: 409", said)
        self.assertIn(self.child, said)
        self.alice.types(f"openstack image delete {self.child} {self.parent}")
