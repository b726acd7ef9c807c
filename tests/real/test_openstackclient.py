# Copyright glancetx contributors. See LICENSE for details.

"""
``openstack image ...``, as people type it.
"""

from __future__ import annotations

from hashlib import md5, sha256
from random import Random

from tests.disks import qcow2_disk

from .clients import ClientCase

DISK = Random(7).randbytes(300_000)
BARE = "--disk-format raw --container-format bare"


class CreateTests(ClientCase):
    """``openstack image create``"""

    def test_without_data(self) -> None:
        """
        An image without a file waits for one.
        """
        made = self.alice.sees("openstack image create --disk-format qcow2 empty")
        self.assertEqual(made["status"], "queued")
        self.assertEqual(made["name"], "empty")
        self.assertEqual(made["disk_format"], "qcow2")
        self.assertEqual(made["container_format"], "bare")
        self.assertEqual(made["visibility"], "shared")
        self.assertEqual(made["owner"], self.alice.project_id)
        self.assertNotIn("checksum", made)

    def test_file(self) -> None:
        """
        A file, and all that can be said of it, are the image.
        """
        file = self.file("disk.raw", DISK)
        made = self.alice.sees(
            f"openstack image create {BARE} --file {file} --private --protected "
            "--min-disk 3 --min-ram 64 --tag red --tag 'dark blue' "
            "--property os_distro=debian --property 'note=\N{SNOWMAN} = yes' full"
        )
        self.assertEqual(made["status"], "active")
        self.assertEqual(made["size"], len(DISK))
        self.assertEqual(made["virtual_size"], len(DISK))
        self.assertEqual(made["checksum"], md5(DISK).hexdigest())
        self.assertEqual(made["visibility"], "private")
        self.assertIs(made["protected"], True)
        self.assertEqual((made["min_disk"], made["min_ram"]), (3, 64))
        self.assertEqual(made["tags"], ["dark blue", "red"])
        self.assertEqual(made["properties"]["os_distro"], "debian")
        self.assertEqual(made["properties"]["note"], "\N{SNOWMAN} = yes")
        self.assertEqual(made["properties"]["os_hash_algo"], "sha256")
        digest = sha256(DISK).hexdigest()
        self.assertEqual(made["properties"]["os_hash_value"], digest)
        self.assertEqual(self.alice.sees("openstack image show full"), made)

    def test_virtual_size(self) -> None:
        """
        The size that a machine sees is read from the disk.
        """
        file = self.file("disk.qcow2", qcow2_disk())
        made = self.alice.sees(
            f"openstack image create --disk-format qcow2 --file {file} measured"
        )
        self.assertEqual(made["virtual_size"], 2**30)

    def test_visibilities(self) -> None:
        """
        Everyone can make all but public images, administrators those as well.
        """
        for one in ("private", "shared", "community"):
            made = self.alice.sees(f"openstack image create --{one} {one}-image")
            self.assertEqual(made["visibility"], one)
        said = self.alice.is_refused("openstack image create --public mine")
        self.assertIn("ForbiddenException: 403", said)
        self.assertIn("policy rule publicize_image", said)
        made = self.admin.sees("openstack image create --public all-of-us")
        self.assertEqual(made["visibility"], "public")
        self.assertEqual(self.bob.sees("openstack image show all-of-us"), made)

    def test_same_id(self) -> None:
        """
        An id is taken once.
        """
        create = "openstack image create --id 6e47e4b8-9bfe-4d26-a5ba-d3a4be2ac6ab one"
        self.alice.types(create)
        said = self.alice.is_refused(create)
        self.assertIn("ConflictException: 409", said)
        self.assertIn("the id 6e47e4b8-9bfe-4d26-a5ba-d3a4be2ac6ab is", said)

    def test_bad_values(self) -> None:
        """
        What cannot be is refused with the name of its field.
        """
        for given, field in (
            ("--id nonsense", "id"),
            ("--min-disk -1", "min_disk"),
            (f"--tag {'x' * 256}", r"tags\[0\]"),
            ("--property os_glance_x=y", "os_glance_x"),
        ):
            said = self.alice.is_refused(f"openstack image create {given} bad")
            self.assertRegex(said, rf"Exception: 40[03].*{field}: ")

    def test_other_format(self) -> None:
        """
        A file that is not what it is said to be is refused with a sentence.
        """
        file = self.file("disk.raw", DISK)
        said = self.alice.is_refused(
            f"openstack image create --disk-format qcow2 --file {file} wrong"
        )
        self.assertIn("HttpException: 415", said)
        self.assertIn("disk_format: qcow2 was declared, but", said)

    def test_reader(self) -> None:
        """
        Who is only a reader makes nothing.
        """
        said = self.rita.is_refused("openstack image create theirs")
        self.assertIn("ForbiddenException: 403", said)
        self.assertIn("policy rule add_image", said)

    def test_owner(self) -> None:
        """
        An administrator makes images for others, nobody else does.
        """
        beta = self.bob.project_id
        self.admin.types(f"openstack image create --project {beta} gift")
        found = self.bob.sees("openstack image show gift")
        self.assertEqual(found["owner"], beta)
        said = self.alice.is_refused(
            f"openstack image create --project {beta} from-alice"
        )
        self.assertIn("ForbiddenException: 403", said)


class LookTests(ClientCase):
    """``openstack image show``, ``list`` and ``save``"""

    def test_unknown(self) -> None:
        """
        What is not there and what is not shared are not told apart.
        """
        made = self.alice.sees("openstack image create --private secret")
        said = self.bob.is_refused("openstack image show nobody")
        self.assertIn("No Image found for nobody", said)
        said = self.bob.is_refused("openstack image show secret")
        self.assertIn("No Image found for secret", said)
        said = self.bob.is_refused(f"openstack image show {made['id']}")
        self.assertIn(f"No Image found for {made['id']}", said)
        self.assertEqual(self.bob.sees("openstack image list --name secret"), [])

    def test_ambiguous(self) -> None:
        """
        A name that two images have names none.
        """
        for _ in range(2):
            self.alice.types("openstack image create --private twin")
        said = self.alice.is_refused("openstack image show twin")
        self.assertIn("More than one Image exists with the name 'twin'", said)

    def test_save(self) -> None:
        """
        The bytes come back as they went, into a file or a pipe.
        """
        file = self.file("disk.raw", DISK)
        self.alice.types(f"openstack image create {BARE} --file {file} kept")
        self.alice.types("openstack image save --file got kept")
        self.assertEqual(self.read("got"), DISK)
        self.assertEqual(self.alice.runs("openstack image save kept"), DISK)

    def test_save_refused(self) -> None:
        """
        A reader sees an image, but does not get its bytes.
        """
        file = self.file("disk.raw", DISK)
        self.alice.types(f"openstack image create {BARE} --file {file} withheld")
        shown = self.rita.sees("openstack image show withheld")
        self.assertEqual(shown["size"], len(DISK))
        self.rita.is_refused("openstack image save --file got withheld")
        path = f"/v2/images/{shown['id']}/file"
        reply = self.rita.asks("GET", path)
        self.assertEqual(reply.code, 403)
        self.assertIn("policy rule download_image", reply.problem)

    def test_deactivated(self) -> None:
        """
        A deactivated image keeps its bytes to itself until it is activated.
        """
        file = self.file("disk.raw", DISK)
        self.alice.types(f"openstack image create {BARE} --file {file} paused")
        self.alice.types("openstack image set --deactivate paused")
        shown = self.alice.sees("openstack image show paused")
        self.assertEqual(shown["status"], "deactivated")
        self.alice.is_refused("openstack image save --file got paused")
        self.admin.types(f"openstack image save --file got {shown['id']}")
        self.assertEqual(self.read("got"), DISK)
        self.alice.types("openstack image set --activate paused")
        self.alice.types("openstack image save --file got2 paused")
        self.assertEqual(self.read("got2"), DISK)

    def test_delete(self) -> None:
        """
        Several images are deleted at once, protected ones never.
        """
        for name in ("first", "second"):
            self.alice.types(f"openstack image create {name}")
        self.alice.types("openstack image create --protected third")
        said = self.alice.is_refused("openstack image delete first second third")
        self.assertIn("Failed to delete 1 of 3 images", said)
        self.assertIn("ForbiddenException: 403", said)
        self.assertIn("is protected; set protected to false", said)
        self.alice.is_refused("openstack image show first")
        self.alice.types("openstack image set --unprotected third")
        self.alice.types("openstack image delete third")
        self.alice.is_refused("openstack image show third")

    def test_others_delete(self) -> None:
        """
        Who may only look at an image cannot delete or change it.
        """
        made = self.alice.sees("openstack image create --community ours")
        for command in ("delete", "set --name mine", "set --tag x"):
            for person in (self.bob, self.rita):
                said = person.is_refused(f"openstack image {command} {made['id']}")
                self.assertIn("ForbiddenException: 403", said)


class ListTests(ClientCase):
    """``openstack image list``"""

    def make(self, count: int, prefix: str, more: str = "") -> None:
        """Make images with numbers, quicker than by a command each."""

        def create(conn, count, prefix):  # type: ignore[no-untyped-def]
            for number in range(count):
                name = f"{prefix}-{number:02}"
                conn.image.create_image(name, min_disk=number % 3, tags=[prefix])

        self.alice.calls("openstacksdk", create, count, prefix)

    def names(self, command: str) -> list[str]:
        """The names that Alice is shown."""
        rows = self.alice.sees(f"openstack image list {command}")
        return [row["Name"] for row in rows]

    def test_pages(self) -> None:
        """
        A list of more than a page is whole, in the order that was asked for.
        """
        self.make(60, "many")
        expected = [f"many-{number:02}" for number in range(60)]
        self.assertEqual(self.names("--tag many"), expected)
        self.assertEqual(self.names("--tag many --sort name:desc"), expected[::-1])
        self.assertEqual(self.names("--tag many --limit 7"), expected[-7:])
        shown = self.names("--tag many --sort created_at:desc --max-items 31")
        self.assertEqual(shown, expected[::-1][:31])
        older = "--tag many --sort created_at:desc --marker many-56"
        self.assertEqual(self.names(older), expected[55::-1])

    def test_filters(self) -> None:
        """
        Each filter leaves what it says.
        """
        file = self.file("disk.raw", DISK)
        create = "openstack image create"
        self.alice.types(f"{create} --property zone=a --tag f --tag g filter-1")
        self.alice.types(f"{create} --property zone=b --tag f --private filter-2")
        self.alice.types(f"{create} {BARE} --file {file} --tag f filter-3")
        self.alice.types(f"{create} --community --tag f filter-4")
        for given, expected in (
            ("--name filter-2", "2"),
            ("--property zone=a", "1"),
            ("--tag f --tag g", "1"),
            ("--tag f --status active", "3"),
            ("--tag f --private", "2"),
            ("--tag f --shared", "13"),
            ("--tag f --community", "4"),
            ("--tag f --public", ""),
            ("--tag f --all", "1234"),
            (f"--tag f --project {self.alice.project_id}", "1234"),
            (f"--tag f --project {self.bob.project_id}", ""),
        ):
            names = [f"filter-{number}" for number in expected]
            self.assertEqual(self.names(given), names, given)

    def test_hidden(self) -> None:
        """
        Hidden images are listed only for who asks, and shown by their names.
        """
        self.alice.types("openstack image create old")
        self.alice.types("openstack image set --hidden old")
        self.assertEqual(self.names("--name old"), [])
        self.assertEqual(self.names("--name old --hidden"), ["old"])
        shown = self.alice.sees("openstack image show old")
        self.assertIs(shown["properties"]["os_hidden"], True)
        self.alice.types("openstack image set --unhidden old")
        self.assertEqual(self.names("--name old"), ["old"])

    def test_long(self) -> None:
        """
        The long list has a column for each fact.
        """
        file = self.file("disk.raw", DISK)
        self.alice.types(f"openstack image create {BARE} --file {file} --tag l long")
        (row,) = self.alice.sees("openstack image list --long --tag l")
        self.assertEqual(row["Checksum"], md5(DISK).hexdigest())
        self.assertEqual(row["Hash Value"], sha256(DISK).hexdigest())
        self.assertEqual(row["Size"], len(DISK))
        self.assertEqual(row["Project"], self.alice.project_id)
        self.assertEqual(row["Tags"], ["l"])

    def test_community(self) -> None:
        """
        A community image is listed for others when they ask for such.
        """
        self.alice.types("openstack image create --community village")
        command = "openstack image list --name village"
        self.assertEqual(self.bob.sees(command), [])
        (row,) = self.bob.sees(f"{command} --community")
        self.assertEqual(row["Name"], "village")


class ChangeTests(ClientCase):
    """``openstack image set`` and ``unset``"""

    def test_set(self) -> None:
        """
        All that can be set is set, and the rest stays.
        """
        before = self.alice.sees("openstack image create --property keep=it plain")
        self.alice.types(
            "openstack image set --name fancy --min-disk 4 --min-ram 128 --protected "
            "--disk-format vmdk --container-format ova --community --tag new "
            "--architecture x86_64 --os-distro debian --os-version 12 "
            "--instance-id 6e47e4b8-9bfe-4d26-a5ba-d3a4be2ac6ab --property a=b plain"
        )
        after = self.alice.sees("openstack image show fancy")
        self.assertEqual(after["id"], before["id"])
        self.assertEqual((after["min_disk"], after["min_ram"]), (4, 128))
        self.assertEqual(after["disk_format"], "vmdk")
        self.assertEqual(after["container_format"], "ova")
        self.assertEqual(after["visibility"], "community")
        self.assertEqual(after["tags"], ["new"])
        self.assertIs(after["protected"], True)
        properties = after["properties"]
        self.assertEqual(properties["architecture"], "x86_64")
        self.assertEqual(properties["os_version"], "12")
        self.assertEqual(properties["a"], "b")
        self.assertEqual(properties["keep"], "it")

    def test_unset(self) -> None:
        """
        Tags and properties are taken away one by one.
        """
        self.alice.types(
            "openstack image create --tag a --tag b --property c=d --property e=f less"
        )
        self.alice.types("openstack image unset --tag a --property c less")
        after = self.alice.sees("openstack image show less")
        self.assertEqual(after["tags"], ["b"])
        self.assertNotIn("c", after["properties"])
        self.assertEqual(after["properties"]["e"], "f")
        said = self.alice.is_refused("openstack image unset --tag a less")
        self.assertIn("'a' is a nonexistent tag", said)
        said = self.alice.is_refused("openstack image unset --property c less")
        self.assertIn("'c' is a nonexistent property", said)

    def test_formats(self) -> None:
        """
        The formats of an image with bytes stand.
        """
        file = self.file("disk.raw", DISK)
        self.alice.types(f"openstack image create {BARE} --file {file} frozen")
        said = self.alice.is_refused("openstack image set --disk-format qcow2 frozen")
        self.assertIn("ForbiddenException: 403", said)
        self.assertIn("disk_format: cannot be changed", said)

    def test_publish(self) -> None:
        """
        Only an administrator makes an image public.
        """
        made = self.alice.sees("openstack image create draft")
        said = self.alice.is_refused("openstack image set --public draft")
        self.assertIn("policy rule publicize_image", said)
        self.admin.types(f"openstack image set --public {made['id']}")
        shown = self.bob.sees("openstack image show draft")
        self.assertEqual(shown["visibility"], "public")

    def test_owner(self) -> None:
        """
        Only an administrator gives an image to another project.
        """
        beta = self.bob.project_id
        made = self.alice.sees("openstack image create --private moving")
        command = f"openstack image set --project {beta} {made['id']}"
        self.assertIn("ForbiddenException: 403", self.alice.is_refused(command))
        self.admin.types(command)
        self.assertEqual(self.bob.sees("openstack image show moving")["owner"], beta)
        self.alice.is_refused(f"openstack image show {made['id']}")


class ShareTests(ClientCase):
    """``openstack image add project`` and the rest of sharing"""

    def test_share(self) -> None:
        """
        An image is offered, accepted, used, and taken back.
        """
        beta = self.bob.project_id
        file = self.file("disk.raw", DISK)
        made = self.alice.sees(f"openstack image create {BARE} --file {file} lent")
        where = made["id"]
        offered = self.alice.sees(f"openstack image add project lent {beta}")
        self.assertEqual(offered["member_id"], beta)
        self.assertEqual(offered["status"], "pending")
        (row,) = self.alice.sees("openstack image member list lent")
        self.assertEqual(row["Member ID"], beta)
        self.assertEqual(self.bob.sees("openstack image list --name lent"), [])
        pending = "openstack image list --member-status pending"
        self.assertIn(where, [row["ID"] for row in self.bob.sees(pending)])

        self.bob.types(f"openstack image set --accept {where}")
        (row,) = self.bob.sees("openstack image list --name lent")
        self.assertEqual(row["ID"], where)
        self.bob.types("openstack image save --file got lent")
        self.assertEqual(self.read("got"), DISK)
        shown = self.alice.sees(f"openstack image member get lent {beta}")
        self.assertEqual(shown["status"], "accepted")

        self.bob.types(f"openstack image set --reject {where}")
        self.assertEqual(self.bob.sees("openstack image list --name lent"), [])
        self.bob.types(f"openstack image set --pending {where}")
        self.alice.types(f"openstack image remove project lent {beta}")
        self.assertEqual(self.alice.sees("openstack image member list lent"), [])
        self.bob.is_refused(f"openstack image show {where}")

    def test_twice(self) -> None:
        """
        An image is shared with a project once.
        """
        self.alice.types("openstack image create offered")
        command = f"openstack image add project offered {self.bob.project_id}"
        self.alice.types(command)
        said = self.alice.is_refused(command)
        self.assertIn("ConflictException: 409", said)
        self.assertIn("is shared with project", said)

    def test_private(self) -> None:
        """
        A private image is not shared until it is said to be shared.
        """
        self.alice.types("openstack image create --private closed")
        command = f"openstack image add project closed {self.bob.project_id}"
        said = self.alice.is_refused(command)
        self.assertIn("ForbiddenException: 403", said)
        self.assertIn("only images whose visibility is shared", said)
        self.alice.types("openstack image set --shared closed")
        self.alice.types(command)

    def test_others(self) -> None:
        """
        Who is offered an image cannot offer it to others, nor see who else has it.
        """
        made = self.alice.sees("openstack image create passed")
        where = made["id"]
        for person in (self.bob, self.admin):
            self.alice.types(f"openstack image add project passed {person.project_id}")
        self.bob.types(f"openstack image set --accept {where}")
        said = self.bob.is_refused(
            f"openstack image add project {where} {self.alice.project_id}"
        )
        self.assertIn("ForbiddenException: 403", said)
        (row,) = self.bob.sees(f"openstack image member list {where}")
        self.assertEqual(row["Member ID"], self.bob.project_id)


class AbsentTests(ClientCase):
    """What this server does not offer"""

    def test_absent(self) -> None:
        """
        What is not there is said not to be there, in the client's own words.
        """
        self.alice.types("openstack image create queued")
        file = self.file("disk.raw", DISK)
        for command, words in (
            ("stores list", "Multi Backend support not enabled"),
            (f"stage --file {file} queued", "404"),
            ("import queued", "is not supported by this deployment"),
            ("metadef namespace list", "404"),
        ):
            said = self.alice.is_refused(f"openstack image {command}")
            self.assertIn(words, said)

    def test_empty(self) -> None:
        """
        There are no tasks and no import methods.
        """
        self.assertEqual(self.alice.sees("openstack image task list"), [])
        shown = self.alice.sees("openstack image import info")
        self.assertEqual(shown["import-methods"], [])
