# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for what bodies of the Image API obey, and for what clients are told of it.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from twisted.trial.unittest import SynchronousTestCase

from glancetx.errors import BadValue, TooMany
from glancetx.image import MemberStatus, Status, Visibility
from glancetx.web.fields import PARENTS, READ_ONLY, SETTABLE
from glancetx.web.v2.schemas import CUSTOM, MOST_VALUES, PUBLISHED, REQUESTS, validate
from glancetx.web.v2.sentences import SHOWN

from .properties import untimed

ID = "6c5f3c1e-3c0e-4d2c-9d4c-1d6a1c1f0b0a"
LEASE = {
    "digest": {"algorithm": "sha256", "value": "0" * 64},
    "seconds": 60,
    "url": "http://zone.example.com",
}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=30,
)

SENTENCES: tuple[tuple[str, Any, str], ...] = (
    ("image_create", [], "body: must be an object, not a list"),
    ("image_create", {"name": 5}, "name: must be a text or null, not 5"),
    (
        "image_create",
        {"name": "n" * 256},
        "name: must have at most 255 characters, not 256",
    ),
    ("image_create", {"id": ID.upper()}, "id: must be a lower-case UUID"),
    ("image_create", {"id": f"{ID}\n"}, "id: must be a lower-case UUID"),
    (
        "image_create",
        {"visibility": "open"},
        'visibility: must be one of public, community, shared, private, not "open"',
    ),
    (
        "image_create",
        {"disk_format": "qed"},
        "disk_format: must be one of null",
    ),
    (
        "image_create",
        {"protected": "yes"},
        'protected: must be true or false, not "yes"',
    ),
    (
        "image_create",
        {"min_ram": 1.0},
        "min_ram: must be a whole number, not 1",
    ),
    ("image_create", {"min_ram": True}, "min_ram: must be a whole number"),
    ("image_create", {"min_ram": -1}, "min_ram: must be 0 or more, not -1"),
    ("image_create", {"min_ram": 2**63}, "min_ram: must be 92233720368547758"),
    ("image_create", {"tags": "a"}, 'tags: must be a list, not "a"'),
    (
        "image_create",
        {"tags": ["a", {}]},
        "tags[1]: must be a text, not an obj",
    ),
    ("image_create", {"tags": [""]}, "tags[0]: must not be empty"),
    ("image_create", {"colour": None}, "colour: must be a text, not null"),
    (
        "image_create",
        {"": "a"},
        "body: the name of a property must not be empty",
    ),
    (
        "image_create",
        {"p" * 256: "a"},
        f"{'p' * SHOWN}...: the name of a property must have at most 255 ",
    ),
    ("image_patch", {}, "body: must be a list, not an object"),
    ("image_patch", [3], "body[0]: must be an object, not 3"),
    ("image_patch", [{}], "body[0].op: must be given"),
    (
        "image_patch",
        [{"op": "move", "path": "/a"}],
        'body[0].op: must be one of add, replace, remove, not "move"',
    ),
    (
        "image_patch",
        [{"op": "add", "path": "/a"}],
        "body[0].value: must be given",
    ),
    (
        "image_patch",
        [{"op": "remove", "path": "name"}],
        "body[0].path: must be a JSON pointer",
    ),
    (
        "image_patch",
        [{"op": "remove", "path": "/"}],
        "body[0].path: must be a JS",
    ),
    (
        "image_patch_v20",
        [{"remove": "/a"}, {"remove": "/a", "add": "/b", "value": ""}],
        "body[1]: must have exactly one of add, replace and remove",
    ),
    ("image_patch_v20", [{"add": "/a"}], "body[0].value: must be given"),
    ("member_create", {}, "member: must be given"),
    ("member_create", {"member": ""}, "member: must not be empty"),
    (
        "member_create",
        {"member": "a/b"},
        "member: must be an id that can stand",
    ),
    ("member_create", {"member": ".."}, "member: must be an id that can stand"),
    (
        "member_create",
        {"member": "a\0"},
        "member: must be an id that can stand",
    ),
    ("member_update", {"status": None}, "status: must be a text, not null"),
    ("lease", {**LEASE, "seconds": 9}, "seconds: must be 60 or more, not 9"),
    ("lease", {**LEASE, "b": 1, "a": 1}, "a: is not known; there are digest, "),
    (
        "lease",
        {**LEASE, "digest": {"algorithm": "sha256", "value": "0" * 65}},
        "digest.value: must be a digest in lower-case hex",
    ),
)


class PublishedTests(SynchronousTestCase):
    """``/v2/schemas/NAME``, as glanceclient and Nova read them"""

    def properties(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = PUBLISHED[name]["properties"]
        return found

    def test_lawful(self) -> None:
        """
        Each is a JSON schema with its own name, and can be sent as it is.
        """
        for name, schema in [*PUBLISHED.items(), *REQUESTS.items()]:
            Draft202012Validator.check_schema(schema)
            self.assertEqual(json.loads(json.dumps(schema)), schema)
            self.assertEqual(PUBLISHED.get(name, {"name": name})["name"], name)

    def test_base(self) -> None:
        """
        The fields that every image has are base, those that are properties are not.
        """
        custom = {
            name
            for name, one in self.properties("image").items()
            if not one.get("is_base", True)
        }
        self.assertEqual(
            custom,
            {
                "kernel_id",
                "ramdisk_id",
                "instance_uuid",
                "architecture",
                "os_distro",
                "os_version",
                "os_glance_parent_id",
            },
        )
        base = self.properties("image").keys() - custom
        self.assertLessEqual({"id", "tags", "owner", "self", "locations"}, base)

    def test_choices(self) -> None:
        """
        Formats are Glance's, null among them; states are those that there are.
        """
        image = self.properties("image")
        self.assertEqual(
            image["disk_format"]["enum"],
            [None, "ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi"]
            + ["iso", "ploop"],
        )
        self.assertEqual(
            image["container_format"]["enum"],
            [None, "ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed"],
        )
        self.assertEqual(set(image["visibility"]["enum"]), set(Visibility))
        self.assertEqual(set(image["status"]["enum"]), set(Status))
        self.assertEqual(
            set(self.properties("member")["status"]["enum"]), set(MemberStatus)
        )

    def test_read_only(self) -> None:
        """
        What the server says is read-only, what a client says is not.
        """
        read_only = {
            name
            for name, one in self.properties("image").items()
            if one.get("readOnly", False)
        }
        settable = REQUESTS["image_create"]["properties"].keys() - {"parent_id"}
        self.assertEqual(self.properties("image").keys() - read_only, settable)

    def test_names(self) -> None:
        """
        The fields are those whose names no property may have.
        """
        fields = self.properties("image").keys() - CUSTOM.keys() - PARENTS
        self.assertEqual(fields, SETTABLE | READ_ONLY)

    def test_others(self) -> None:
        """
        Further properties of an image are texts; a member has none.
        """
        self.assertEqual(PUBLISHED["image"]["additionalProperties"], {"type": "string"})
        self.assertFalse(PUBLISHED["member"]["additionalProperties"])

    def test_links(self) -> None:
        """
        An image links to itself, to its file and to its schema.
        """
        links = {one["rel"]: one["href"] for one in PUBLISHED["image"]["links"]}
        self.assertEqual(
            links, {"self": "{self}", "enclosure": "{file}", "describedby": "{schema}"}
        )

    def test_collections(self) -> None:
        """
        A page's items are described as the item alone is.
        """
        for name in ("image", "member", "task"):
            items = self.properties(f"{name}s")[f"{name}s"]["items"]
            self.assertEqual(items, PUBLISHED[name])


class ValidateTests(SynchronousTestCase):
    """:func:`validate`"""

    def problem(self, name: str, document: Any) -> str:
        return str(self.assertRaises(BadValue, validate, name, document))

    def test_accepted(self) -> None:
        """
        What clients send is let through.
        """
        for name, document in [
            ("image_create", {}),
            ("image_create", {"name": None, "disk_format": None, "tags": ["a", "a"]}),
            ("image_create", {"id": ID, "visibility": "shared", "min_disk": 0}),
            ("image_create", {"hw:cpu": "1", "os_distro": "", "kernel_id": ID}),
            ("image_create", {"os_glance_parent_id": ID, "parent_id": None}),
            ("image_patch", []),
            ("image_patch", [{"op": "add", "path": "/name", "value": None}]),
            ("image_patch", [{"op": "remove", "path": "/a\nb"}]),
            ("image_patch", [{"op": "remove", "path": "/a", "comment": {}}]),
            ("image_patch_v20", [{"add": "/name", "value": [1]}, {"remove": "/a"}]),
            ("member_create", {"member": "p1"}),
            ("member_update", {"status": "accepted"}),
            ("lease", LEASE),
            ("lease", {**LEASE, "digest": {"algorithm": "sha512", "value": "a" * 128}}),
        ]:
            validate(name, document)

    def test_sentences(self) -> None:
        """
        A refusal names the field and says what is wrong with it.
        """
        for name, document, expected in SENTENCES:
            problem = self.problem(name, document)
            self.assertTrue(problem.startswith(expected), problem)

    def test_first(self) -> None:
        """
        Of several faults the same one is told, however the document is ordered.
        """
        faults = {"protected": 1, "colour": 2, "name": 3, "tags": [4]}
        backwards = dict(reversed(faults.items()))
        self.assertEqual(
            self.problem("image_create", faults),
            self.problem("image_create", backwards),
        )

    def test_short(self) -> None:
        """
        A refusal repeats no more than a few words of what was sent.
        """
        long = "x" * 100_000
        for document in (
            {"visibility": long},
            {long: 1},
            {"min_ram": 10**4000},
            {"tags": [{long: long}]},
        ):
            self.assertLess(len(self.problem("image_create", document)), 300)

    def test_bounded(self) -> None:
        """
        What would take long to judge is refused unjudged: many values, deep ones.
        """
        many = {str(number): 1 for number in range(MOST_VALUES)}
        self.assertRaises(TooMany, validate, "image_create", many)
        deep: Any = 1
        for _ in range(100_000):
            deep = [deep]
        problem = self.problem("image_create", {"tags": deep})
        self.assertIn("nested too deeply", problem)

    @untimed
    @given(name=st.sampled_from(sorted(REQUESTS)), document=JSON)
    def test_anything(self, name: str, document: Any) -> None:
        """
        Whatever JSON comes is let through or refused in a sentence.
        """
        try:
            validate(name, document)
        except BadValue as problem:
            self.assertNotIn("\n", problem.problem)
