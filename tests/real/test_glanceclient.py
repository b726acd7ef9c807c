# Copyright glancetx contributors. See LICENSE for details.

"""
``glance ...``, as people type it, and its library.
"""

from __future__ import annotations

import json
from hashlib import md5, sha256
from random import Random
from typing import Any
from uuid import uuid4

from .clients import ClientCase, table

DISK = Random(8).randbytes(300_000)
BARE = "--disk-format raw --container-format bare"
NOBODY = "00000000-0000-4000-8000-000000000000"


class GlanceCase(ClientCase):
    """Tests that tell images by their ids, as this client does."""

    def create(self, more: str) -> dict[str, str]:
        """Alice's new image, as she is shown it."""
        return properties(self.alice.types(f"glance image-create {more}"))

    def disk(self, more: str = "") -> str:
        """The id of a new image with bytes."""
        return self.create(f"{BARE} --file {self.file('disk', DISK)} {more}")["id"]


def properties(text: str) -> dict[str, str]:
    """A table of properties."""
    return {row["Property"]: row["Value"] for row in table(text)}


class CreateTests(GlanceCase):
    """``glance image-create`` and ``image-upload``"""

    def test_all_properties(self) -> None:
        """
        All that can be said of an image is kept.
        """
        image_id = str(uuid4())
        made = self.create(
            f"--id {image_id} --name all --disk-format qcow2 --container-format bare "
            "--min-disk 3 --min-ram 64 --visibility community --protected True "
            "--hidden True --tags red 'dark blue' --os-distro debian --os-version 12 "
            f"--architecture x86_64 --kernel-id {NOBODY} --property a=b"
        )
        self.assertEqual(made["id"], image_id)
        self.assertEqual(made["status"], "queued")
        self.assertEqual(made["size"], "None")
        self.assertEqual(made["visibility"], "community")
        self.assertEqual(made["protected"], "True")
        self.assertEqual(made["os_hidden"], "True")
        self.assertEqual(json.loads(made["tags"]), ["dark blue", "red"])
        self.assertEqual(made["kernel_id"], NOBODY)
        self.assertEqual(made["a"], "b")
        self.assertEqual(made["owner"], self.alice.project_id)
        shown = self.alice.types(f"glance image-show {image_id}")
        self.assertEqual(properties(shown), made)

    def test_file(self) -> None:
        """
        A file is sent after the image is made.
        """
        file = self.file("disk", DISK)
        made = self.create(f"{BARE} --name full --file {file} --progress")
        self.assertEqual(made["status"], "active")
        self.assertEqual(made["size"], str(len(DISK)))
        self.assertEqual(made["checksum"], md5(DISK).hexdigest())
        self.assertEqual(made["os_hash_algo"], "sha256")
        self.assertEqual(made["os_hash_value"], sha256(DISK).hexdigest())

    def test_upload(self) -> None:
        """
        Bytes are sent once, and only to an image whose formats are known.
        """
        file = self.file("disk", DISK)
        where = self.create(BARE)["id"]
        upload = f"glance image-upload --file {file}"
        self.alice.types(f"{upload} --size {len(DISK)} {where}")
        said = self.alice.is_refused(f"{upload} {where}")
        self.assertIn(f"image {where} is active, not queued", said)
        bare = self.create("--name formless")["id"]
        said = self.alice.is_refused(f"{upload} {bare}")
        self.assertIn("disk_format and container_format: must be given", said)

    def test_wrong_size(self) -> None:
        """
        An upload that is not as long as was said leaves the image as it was.
        """
        where = self.create(BARE)["id"]
        file = self.file("disk", DISK)
        upload = f"glance image-upload --file {file} --size 7 {where}"
        self.assertIn("size", self.alice.is_refused(upload))
        shown = properties(self.alice.types(f"glance image-show {where}"))
        self.assertEqual((shown["status"], shown["size"]), ("queued", "None"))

    def test_other_format(self) -> None:
        """
        A file that is not what it is said to be is refused with a sentence.
        """
        said = self.alice.is_refused(
            "glance image-create --disk-format qcow2 --container-format bare "
            f"--file {self.file('disk', DISK)}"
        )
        self.assertIn("disk_format: qcow2 was declared, but", said)

    def test_refused(self) -> None:
        """
        What cannot be is refused, by the client's reading of the schema or by us.
        """
        taken = self.create("--name taken")["id"]
        for given, words in (
            (f"--id {taken}", f"the id {taken} is or was taken"),
            ("--visibility public", "policy rule publicize_image"),
            ("--disk-format nonsense", "'nonsense' is not one of"),
            ("--property os_glance_x=y", "os_glance_x"),
        ):
            said = self.alice.is_refused(f"glance image-create {given}")
            self.assertIn(words, said)
        said = self.rita.is_refused("glance image-create --name theirs")
        self.assertIn("policy rule add_image", said)


class LookTests(GlanceCase):
    """``glance image-show``, ``image-list`` and ``image-download``"""

    def ids(self, more: str) -> list[str]:
        """The images that Alice is shown."""
        rows = table(self.alice.types(f"glance image-list {more}"))
        return [row["ID"] for row in rows]

    def test_unknown(self) -> None:
        """
        What is not there and what is not shared are not told apart.
        """
        secret = self.create("--visibility private")["id"]
        for command in ("image-show", "image-download --file got", "image-delete"):
            for where in (secret, NOBODY):
                said = self.bob.is_refused(f"glance {command} {where}")
                self.assertRegex(said, f"(no image|No image with an ID of) '?{where}")

    def test_pages(self) -> None:
        """
        A list of more than a page is whole, in the order that was asked for.
        """

        def create(client: Any, count: int) -> Any:
            names = [f"p{number:02}" for number in range(count)]
            return [client.images.create(name=name, tags=["p"]).id for name in names]

        made = self.alice.calls("glanceclient", create, 60)
        self.assertEqual(self.ids("--tag p --sort name:asc"), made)
        self.assertEqual(
            self.ids("--tag p --sort-key name --sort-dir desc"), made[::-1]
        )
        self.assertEqual(self.ids("--tag p --page-size 7 --sort name"), made[::-1])
        self.assertEqual(self.ids("--tag p --limit 31 --sort name:asc"), made[:31])
        self.assertEqual(self.ids("--tag p"), made)

    def test_filters(self) -> None:
        """
        Each filter leaves what it says.
        """
        made = [
            self.create("--name a --tags f g --property zone=x")["id"],
            self.create("--name b --tags f --visibility private --hidden True")["id"],
            self.create("--name c --tags f --visibility community")["id"],
            self.disk("--name d --tags f"),
        ]
        alpha, beta = self.alice.project_id, self.bob.project_id
        for given, expected in (
            ("--tag f", "acd"),
            ("--tag f --tag g", "a"),
            ("--property-filter zone=x", "a"),
            ("--property-filter name=in:a,d --tag f", "ad"),
            ("--property-filter status=active --tag f", "d"),
            (f"--property-filter size_min={len(DISK)} --tag f", "d"),
            ("--tag f --visibility community", "c"),
            ("--tag f --visibility shared", "ad"),
            ("--tag f --hidden", "b"),
            (f"--tag f --checksum {md5(DISK).hexdigest()}", "d"),
            (f"--tag f --hash {sha256(DISK).hexdigest()}", "d"),
            (f"--tag f --owner {alpha}", "acd"),
            (f"--tag f --owner {beta}", ""),
        ):
            wanted = [made["abcd".index(name)] for name in expected]
            self.assertEqual(self.ids(f"{given} --sort name:asc"), wanted, given)

    def test_bad_filters(self) -> None:
        """
        What cannot be asked for is refused with the name of its field.
        """
        for given, field in (
            ("size_min=many", "size_min"),
            ("visibility=nobody", "visibility"),
            ("protected=maybe", "protected"),
            ("created_at=gt:noon", "created_at"),
            ("changes-since=2026-01-01", "changes-since"),
        ):
            command = f"glance image-list --property-filter {given}"
            self.assertIn(field, self.alice.is_refused(command))

    def test_verbose(self) -> None:
        """
        The long list has a column for each fact.
        """
        where = self.disk("--tags v")
        (row,) = table(self.alice.types("glance --verbose image-list --tag v"))
        self.assertEqual(row["ID"], where)
        self.assertEqual(row["Size"], str(len(DISK)))
        self.assertEqual(row["Status"], "active")
        self.assertEqual(row["Owner"], self.alice.project_id)

    def test_download(self) -> None:
        """
        The bytes come back as they went, into a file or a pipe.
        """
        where = self.disk()
        self.alice.types(f"glance image-download --file got --progress {where}")
        self.assertEqual(self.read("got"), DISK)
        self.assertEqual(self.alice.runs(f"glance image-download {where}"), DISK)

    def test_download_refused(self) -> None:
        """
        Readers, and everyone while it is deactivated, are told why they get nothing.
        """
        where = self.disk()
        download = f"glance image-download --file refused {where}"
        said = self.rita.is_refused(download)
        self.assertIn("policy rule download_image", said)
        self.alice.types(f"glance image-deactivate {where}")
        said = self.alice.is_refused(download)
        self.assertIn(f"image {where} is deactivated", said)
        self.alice.types(f"glance image-reactivate {where}")
        self.alice.types(download)
        self.assertEqual(self.read("refused"), DISK)

    def test_actions_refused(self) -> None:
        """
        Who may only read an image does not stop others from reading it.
        """
        where = self.disk("--visibility community")
        for verb in ("deactivate", "reactivate"):
            for person in (self.bob, self.rita):
                said = person.is_refused(f"glance image-{verb} {where}")
                self.assertIn(f"policy rule {verb}", said)


class ChangeTests(GlanceCase):
    """``glance image-update``, ``image-tag-*`` and ``image-delete``"""

    def test_update(self) -> None:
        """
        All that can be changed is changed, and the rest stays.
        """
        before = self.create("--name plain --property keep=it --property gone=x")
        where = before["id"]
        after = properties(
            self.alice.types(
                "glance image-update --name fancy --min-disk 4 --min-ram 128 "
                "--disk-format vmdk --container-format ova --visibility community "
                "--protected True --hidden True --os-distro debian --property a=b "
                f"--remove-property gone {where}"
            )
        )
        changed = {
            "name": "fancy",
            "min_disk": "4",
            "min_ram": "128",
            "disk_format": "vmdk",
            "container_format": "ova",
            "visibility": "community",
            "protected": "True",
            "os_hidden": "True",
            "os_distro": "debian",
            "a": "b",
            "updated_at": after["updated_at"],
        }
        del before["gone"]
        self.assertEqual(after, {**before, **changed})

    def test_refused(self) -> None:
        """
        What may not be changed is refused with its name.
        """
        where = self.disk("--visibility community")
        for person, given, words in (
            (self.alice, "--disk-format qcow2", "disk_format: cannot be changed"),
            (self.alice, "--visibility public", "policy rule publicize_image"),
            (self.alice, f"--owner {self.bob.project_id}", "owner"),
            (self.bob, "--name mine", "policy rule modify_image"),
            (self.rita, "--name mine", "policy rule modify_image"),
        ):
            said = person.is_refused(f"glance image-update {given} {where}")
            self.assertIn(words, said)
        said = self.alice.is_refused(f"glance image-update --name x {NOBODY}")
        self.assertIn(f"no image {NOBODY}", said)

    def test_tags(self) -> None:
        """
        Tags come and go one by one.
        """
        where = self.create("--tags a")["id"]
        (row,) = table(self.alice.types(f"glance image-tag-update {where} 'b c'"))
        self.assertEqual(row["Tags"], "['a', 'b c']")
        self.alice.types(f"glance image-tag-delete {where} a")
        shown = properties(self.alice.types(f"glance image-show {where}"))
        self.assertEqual(json.loads(shown["tags"]), ["b c"])
        said = self.alice.is_refused(f"glance image-tag-delete {where} a")
        self.assertIn("does not have the tag a", said)
        said = self.rita.is_refused(f"glance image-tag-update {where} d")
        self.assertIn("policy rule modify_image", said)

    def test_delete(self) -> None:
        """
        Several images are deleted at once, protected ones never.
        """
        one, two = self.disk(), self.create("--name two")["id"]
        kept = self.create("--protected True")["id"]
        self.alice.types(f"glance image-delete {one} {two}")
        self.alice.is_refused(f"glance image-show {one}")
        said = self.alice.is_refused(f"glance image-delete {kept}")
        self.assertIn(f"You are not permitted to delete the image '{kept}'", said)
        self.alice.types(f"glance image-update --protected False {kept}")
        self.alice.types(f"glance image-delete {kept}")


class ShareTests(GlanceCase):
    """``glance member-*``"""

    def test_share(self) -> None:
        """
        An image is offered, accepted, used, and taken back.
        """
        beta, where = self.bob.project_id, self.disk()
        (row,) = table(self.alice.types(f"glance member-create {where} {beta}"))
        self.assertEqual(row["Member ID"], beta)
        self.assertEqual(row["Status"], "pending")
        rows = table(self.bob.types("glance image-list --member-status pending"))
        self.assertIn(where, [row["ID"] for row in rows])
        said = self.alice.is_refused(f"glance member-update {where} {beta} accepted")
        self.assertIn(f"only project {beta} itself", said)
        self.bob.types(f"glance member-update {where} {beta} accepted")
        self.bob.types(f"glance image-download --file lent {where}")
        self.assertEqual(self.read("lent"), DISK)
        (row,) = table(self.alice.types(f"glance member-list --image-id {where}"))
        self.assertEqual(row["Status"], "accepted")
        shown = properties(self.alice.types(f"glance member-get {where} {beta}"))
        self.assertEqual(shown["member_id"], beta)
        self.alice.types(f"glance member-delete {where} {beta}")
        self.bob.is_refused(f"glance image-show {where}")

    def test_refused(self) -> None:
        """
        What cannot be shared is refused with a sentence.
        """
        beta, where = self.bob.project_id, self.create("--name offered")["id"]
        private = self.create("--visibility private")["id"]
        self.alice.types(f"glance member-create {where} {beta}")
        for person, command, words in (
            (self.alice, f"member-create {where} {beta}", "is shared with project"),
            (
                self.alice,
                f"member-create {private} {beta}",
                "whose visibility is shared",
            ),
            (self.alice, f"member-get {where} nobody", "is not shared with project"),
            (self.alice, f"member-delete {where} nobody", "is not shared with project"),
            (self.bob, f"member-create {where} x", "policy rule add_member"),
            (self.bob, f"member-delete {where} {beta}", "policy rule delete_member"),
            (self.bob, f"member-update {where} nobody accepted", "is not shared with"),
            (self.bob, f"member-list --image-id {private}", f"no image {private}"),
        ):
            self.assertIn(words, person.is_refused(f"glance {command}"))


class InformationTests(GlanceCase):
    """What ``glance`` tells of a server"""

    def test_explain(self) -> None:
        """
        The schemas are explained.
        """
        rows = table(self.alice.types("glance explain image"))
        known = {row["Attribute"]: row["Description"] for row in rows}
        self.assertIn("os_hash_value", known)
        self.assertEqual(known["disk_format"], "Format of the disk")
        rows = table(self.alice.types("glance explain member"))
        self.assertIn("member_id", [row["Attribute"] for row in rows])
        self.alice.is_refused("glance explain nonsense")

    def test_empty(self) -> None:
        """
        There are no quotas, tasks or import methods.
        """
        self.assertEqual(table(self.alice.types("glance usage")), [])
        self.assertEqual(table(self.alice.types("glance task-list")), [])
        shown = properties(self.alice.types("glance import-info"))
        self.assertEqual(json.loads(shown["import-methods"])["value"], [])

    def test_absent(self) -> None:
        """
        What is not there is said not to be there, in the client's own words.
        """
        where = self.create("--name queued")["id"]
        file = self.file("disk", DISK)
        for command, words in (
            ("stores-info", "Multi Backend support is not enabled"),
            ("cache-list", "does not support image caching"),
            (f"image-tasks {where}", "does not support image tasks"),
            (f"image-stage --file {file} {where}", "there is nothing at this address"),
            (f"image-import {where}", "is not valid for this cloud"),
            (f"image-import --import-method web-download {where}", "is not valid"),
            (
                f"location-add --url http://127.0.0.1/ {where}",
                "locations: is read-only",
            ),
            ("md-namespace-list", "there is nothing at this address"),
        ):
            self.assertIn(words, self.alice.is_refused(f"glance {command}"))


class LibraryTests(GlanceCase):
    """``glanceclient.Client``"""

    def test_verbs(self) -> None:
        """
        A program makes an image, fills, reads, changes, shares and deletes it.
        """

        def work(client: Any, data: str, member: str) -> Any:
            import io  # noqa: PLC0415

            images = client.images
            seen: dict[str, Any] = {}
            image = images.create(
                name="lib", disk_format="raw", container_format="bare"
            )
            images.upload(image.id, io.BytesIO(data.encode("ascii")))
            seen["data"] = b"".join(images.data(image.id)).decode("ascii")
            seen["changed"] = dict(images.update(image.id, name="lib2", a="b"))
            images.update(image.id, remove_props=["a"])
            client.image_tags.update(image.id, "red")
            client.image_members.create(image.id, member)
            members = client.image_members.list(image.id)
            seen["members"] = [one["member_id"] for one in members]
            client.image_members.delete(image.id, member)
            seen["shown"] = dict(images.get(image.id))
            images.delete(image.id)
            return seen

        beta = self.bob.project_id
        seen = self.alice.calls("glanceclient", work, "some bytes", beta)
        self.assertEqual(seen["data"], "some bytes")
        self.assertEqual(seen["changed"]["a"], "b")
        self.assertEqual(seen["members"], [beta])
        self.assertNotIn("a", seen["shown"])
        self.assertEqual(seen["shown"]["name"], "lib2")
        self.assertEqual(seen["shown"]["tags"], ["red"])

    def test_errors(self) -> None:
        """
        What goes wrong has the type that programs look for.
        """

        def get(client: Any, image_id: str) -> Any:
            client.images.get(image_id)

        def data(client: Any, image_id: str) -> Any:
            client.images.data(image_id)

        def delete(client: Any, image_id: str) -> Any:
            client.images.delete(image_id)

        where = self.disk("--protected True")
        for person, function, image_id, error in (
            (self.alice, get, NOBODY, "HTTPNotFound"),
            (self.bob, get, where, "HTTPNotFound"),
            (self.rita, data, where, "HTTPForbidden"),
            (self.alice, delete, where, "HTTPForbidden"),
        ):
            said = person.fails("glanceclient", function, image_id)
            self.assertTrue(said.startswith(f"glanceclient.exc.{error}: "), said)
