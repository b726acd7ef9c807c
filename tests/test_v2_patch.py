# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.web.v2.patch`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from attrs import asdict, evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from glancetx.errors import BadValue, Conflict, Forbidden, GlancetxError, TooMany
from glancetx.image import Image, Status, Visibility
from glancetx.web.fields import PARENTS, READ_ONLY, RESERVED, SETTABLE
from glancetx.web.v2.patch import MEDIA_TYPES, NEWER, OLDER, apply, read_patch

from .properties import untimed

NOW = datetime(2026, 11, 23, tzinfo=UTC)
IMAGE = Image(
    id="11111111-1111-4111-8111-111111111111",
    status=Status.ACTIVE,
    visibility=Visibility.SHARED,
    created_at=NOW,
    updated_at=NOW,
    name="old",
    properties={"there": "x", "a/b~c": "y"},
    tags=frozenset({"a"}),
)
VALUES: dict[str, tuple[Any, str, Any]] = {
    "name": ("new", "name", "new"),
    "visibility": ("public", "visibility", Visibility.PUBLIC),
    "protected": (True, "protected", True),
    "os_hidden": (True, "hidden", True),
    "owner": ("other", "owner", "other"),
    "tags": (["b", "c", "b"], "tags", frozenset({"b", "c"})),
    "container_format": ("ovf", "container_format", "ovf"),
    "disk_format": ("qcow2", "disk_format", "qcow2"),
    "min_disk": (3, "min_disk", 3),
    "min_ram": (4, "min_ram", 4),
}
"""A value for each settable field, and the attribute that it becomes."""


def newer(*operations: tuple[Any, ...]) -> list[dict[str, Any]]:
    """Triples (or pairs) as the newer media type writes them."""
    return [
        dict(zip(("op", "path", "value"), operation, strict=False))
        for operation in operations
    ]


def older(*operations: tuple[Any, ...]) -> list[dict[str, Any]]:
    """The same, as the older one does."""
    return [
        {op: path, **({"value": rest[0]} if rest else {})}
        for op, path, *rest in operations
    ]


class PatchCase(SynchronousTestCase):
    """Changes :data:`IMAGE`."""

    def patched(self, document: Any, media_type: str = NEWER) -> Image:
        return apply(read_patch(media_type, document), IMAGE)

    def refused(
        self, error: type[GlancetxError], document: Any, media_type: str = NEWER
    ) -> str:
        with self.assertRaises(error) as caught:
            self.patched(document, media_type)
        return str(caught.exception)

    def refused_in_both(
        self, error: type[GlancetxError], *operation: Any
    ) -> tuple[str, str]:
        return (
            self.refused(error, newer(operation)),
            self.refused(error, older(operation), OLDER),
        )


class FieldTests(PatchCase):
    """Base fields."""

    def test_replace(self) -> None:
        """
        Every settable field can be replaced, in both media types, and nothing else
        changes.
        """
        self.assertEqual(VALUES.keys(), SETTABLE)
        for name, (value, attribute, expected) in VALUES.items():
            changed = evolve(IMAGE, **{attribute: expected})
            operation = ("replace", f"/{name}", value)
            self.assertEqual(self.patched(newer(operation)), changed)
            self.assertEqual(self.patched(older(operation), OLDER), changed)

    def test_add(self) -> None:
        """
        To add a field replaces it, as the SDK relies on; the older media type says
        that it is there already.
        """
        for name, (value, attribute, expected) in VALUES.items():
            changed = evolve(IMAGE, **{attribute: expected})
            self.assertEqual(self.patched(newer(("add", f"/{name}", value))), changed)
            operation = older(("add", f"/{name}", value))
            message = self.refused(Conflict, operation, OLDER)
            self.assertEqual(message, f"{name}: every image has it; replace it")

    def test_remove(self) -> None:
        """
        No field can be removed.
        """
        for name in SETTABLE:
            for message in self.refused_in_both(Forbidden, "remove", f"/{name}"):
                self.assertEqual(
                    message, f"{name}: every image has it; it cannot be removed"
                )

    def test_null(self) -> None:
        """
        What may be null can be made so.
        """
        for name in ("name", "owner", "disk_format", "container_format"):
            changed = self.patched(newer(("replace", f"/{name}", None)))
            nothing: dict[str, Any] = {name: None}
            self.assertEqual(changed, evolve(IMAGE, **nothing))

    def test_read_only(self) -> None:
        """
        What the server says cannot be changed by any operation, of whatever depth.
        """
        for name in READ_ONLY:
            for path in (f"/{name}", f"/{name}/0", f"/{name}/-"):
                for operation in (
                    ("add", path, "x"),
                    ("replace", path, 1),
                    ("remove", path),
                ):
                    for message in self.refused_in_both(Forbidden, *operation):
                        self.assertIn(f"{name}: is read-only", message)

    def test_reserved(self) -> None:
        """
        Reserved names cannot be given, and a parent only when an image is made.
        """
        for name in (*RESERVED, *PARENTS, "os_glance_x", "os_glance"):
            for operation in (
                ("add", f"/{name}", "x"),
                ("replace", f"/{name}", "x"),
                ("remove", f"/{name}"),
            ):
                for message in self.refused_in_both(Forbidden, *operation):
                    self.assertTrue(message.startswith(f"{name}: is "))

    def test_wrong_values(self) -> None:
        """
        A value that does not obey the schema is refused by the name of its field.
        """
        for name, value in [
            ("name", 1),
            ("visibility", "secret"),
            ("protected", "true"),
            ("os_hidden", None),
            ("disk_format", "RAW"),
            ("min_disk", True),
            ("min_ram", -1),
            ("min_ram", 2**63),
            ("there", 1),
            ("there", {}),
            ("there", None),
            ("name", "a\nb"),
            ("tags", ["a\x1b"]),
        ]:
            for operation in ("add", "replace"):
                for message in self.refused_in_both(
                    BadValue, operation, f"/{name}", value
                ):
                    self.assertTrue(message.startswith(f"{name}: "), message)
        for value in ("a", [1], [""]):
            message = self.refused(BadValue, newer(("replace", "/tags", value)))
            self.assertTrue(message.startswith("tags"), message)


class PropertyTests(PatchCase):
    """Properties."""

    def properties(self, document: Any, media_type: str = NEWER) -> dict[str, str]:
        changed = self.patched(document, media_type)
        self.assertEqual(changed, evolve(IMAGE, properties=changed.properties))
        return dict(changed.properties)

    def test_all(self) -> None:
        """
        Properties come, change and go, in both media types.
        """
        operations = (
            ("add", "/new", "n"),
            ("replace", "/there", "r"),
            ("remove", "/a~1b~0c"),
        )
        expected = {"there": "r", "new": "n"}
        self.assertEqual(self.properties(newer(*operations)), expected)
        self.assertEqual(self.properties(older(*operations), OLDER), expected)

    def test_add_again(self) -> None:
        """
        To add a property that is there replaces it; in the older media type it is a
        conflict.
        """
        operation = ("add", "/there", "again")
        self.assertEqual(self.properties(newer(operation))["there"], "again")
        message = self.refused(Conflict, older(operation), OLDER)
        self.assertEqual(message, "there: is there already; replace it")

    def test_missing(self) -> None:
        """
        What is not there can be neither replaced nor removed.
        """
        for operation in (("replace", "/new", "x"), ("remove", "/new")):
            for message in self.refused_in_both(Conflict, *operation):
                self.assertEqual(message, "new: the image has no such property")

    def test_in_order(self) -> None:
        """
        Each operation sees what the one before made.
        """
        changes: tuple[tuple[Any, ...], ...] = (
            ("add", "/new", "1"),
            ("replace", "/new", "2"),
            ("remove", "/there"),
            ("add", "/there", "3"),
        )
        found = self.properties(older(*changes), OLDER)
        self.assertEqual(found, {"a/b~c": "y", "new": "2", "there": "3"})
        self.refused(Conflict, newer(("remove", "/there"), ("remove", "/there")))

    def test_nothing(self) -> None:
        """
        No operations change nothing.
        """
        for media_type in MEDIA_TYPES:
            self.assertEqual(self.patched([], media_type), IMAGE)

    def test_names(self) -> None:
        """
        A name is any line of at most 255 characters, with ``~`` and ``/`` escaped.
        """
        found = self.properties(newer(("add", "/~01 Ä:~1", "x")))
        self.assertEqual(found["~1 Ä:/"], "x")
        longest = "é" * 255
        self.assertEqual(
            self.properties(newer(("add", f"/{longest}", "")))[longest], ""
        )
        for name in ("é" * 256, "a\nb", "a\0", "\x85"):
            self.refused(BadValue, newer(("add", f"/{name}", "x")))

    def test_values(self) -> None:
        """
        A value is any text without NUL, of a length that has a bound.
        """
        for value in ("", "a\r\nb\x1b", "x" * 900):
            self.assertEqual(
                self.properties(newer(("replace", "/there", value)))["there"], value
            )
        for value in ("\0", "é" * 32768):
            self.refused(BadValue, newer(("replace", "/there", value)))


class FormTests(PatchCase):
    """What is no list of operations."""

    def test_shape(self) -> None:
        """
        What has not the form of its media type is refused, by the place of the fault.
        """
        good = {"op": "add", "path": "/a", "value": "x"}
        for document in (
            None,
            {},
            "x",
            good,
            [None],
            [[good]],
            [{**good, "op": "move"}],
            [{**good, "op": "test"}],
            [{**good, "op": None}],
            [{**good, "path": None}],
            [{**good, "path": ["a"]}],
            newer(("add", "/a")),
            newer(("replace", "/name")),
            [{"path": "/a", "value": "x"}],
            [{"op": "remove"}],
            older(("add", "/a", "x")),
            [good, {**good, "op": "ADD"}],
        ):
            message = self.refused(BadValue, document)
            self.assertTrue(message.startswith("body"), message)

    def test_older_shape(self) -> None:
        """
        An operation of the older media type is one of three, and one only.
        """
        documents: list[Any] = [
            {},
            [{}],
            [{"value": "x"}],
            [{"add": "/a"}],
            [{"add": None, "value": "x"}],
            [{"add": "/a", "replace": "/a", "value": "x"}],
            [{"move": "/a", "value": "x"}],
            newer(("add", "/a", "x")),
        ]
        for document in documents:
            message = self.refused(BadValue, document, OLDER)
            self.assertTrue(message.startswith("body"), message)

    def test_paths(self) -> None:
        """
        A path is a JSON pointer, one level deep.
        """
        for path in ("", "a", "/", "/a/b", "/a/", "//", "/name/0", "/tags/-", "a/"):
            for message in self.refused_in_both(BadValue, "add", path, "x"):
                self.assertTrue(message.startswith("body[0]."), message)
        for path in ("/~", "/a~", "/a~2", "/~~0", "/~\n"):
            for message in self.refused_in_both(BadValue, "add", path, "x"):
                self.assertIn("must have '~0' for each '~'", message)

    def test_many(self) -> None:
        """
        There are not more operations than are judged in a moment.
        """
        operation = ("add", "/a", "x")
        self.refused(TooMany, newer(*[operation] * 2000))


names = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
keys = st.one_of(st.sampled_from(["a", "b", "c/d", "~e"]), names).filter(
    lambda name: (
        not name.startswith("os_glance")
        and name not in SETTABLE | READ_ONLY | RESERVED | PARENTS
        and name not in ("kernel_id", "ramdisk_id")
        and len(name) <= 255
    )
)
operations = st.tuples(st.sampled_from(["add", "replace", "remove"]), keys, texts)


def pointer(name: str) -> str:
    return "/" + name.replace("~", "~0").replace("/", "~1")


class AnyTests(PatchCase):
    """Whatever comes."""

    @untimed
    @given(st.dictionaries(keys, texts), st.lists(operations, max_size=8))
    def test_as_a_dictionary(
        self, properties: dict[str, str], changes: list[tuple[str, str, str]]
    ) -> None:
        """
        Operations do to properties what they would do to a dictionary.
        """
        expected: dict[str, str] | None = dict(properties)
        for op, name, value in changes:
            if expected is None or (op != "add" and name not in expected):
                expected = None
            elif op == "remove":
                del expected[name]
            else:
                expected[name] = value
        document = newer(*((op, pointer(name), value) for op, name, value in changes))
        parsed = read_patch(NEWER, document)
        image = evolve(IMAGE, properties=properties)
        if expected is None:
            self.assertRaises(Conflict, apply, parsed, image)
        else:
            changed = apply(parsed, image)
            self.assertEqual(changed, evolve(image, properties=expected))
        self.assertEqual(image.properties, properties)

    @untimed
    @given(
        st.sampled_from(MEDIA_TYPES),
        st.lists(
            st.dictionaries(
                st.sampled_from(["op", "path", "value", "add", "replace", "remove"]),
                st.one_of(
                    st.sampled_from(["add", "replace", "remove", "move"]),
                    st.sampled_from([f"/{name}" for name in SETTABLE | READ_ONLY]),
                    st.recursive(
                        st.none() | st.booleans() | st.integers() | texts,
                        lambda inner: st.lists(inner, max_size=3),
                        max_leaves=5,
                    ),
                ),
            ),
            max_size=3,
        ),
    )
    def test_nonsense(self, media_type: str, document: Any) -> None:
        """
        Nonsense is refused with one of our errors, or does something lawful.
        """
        try:
            changed = self.patched(document, media_type)
        except (BadValue, Conflict, Forbidden, TooMany):
            return
        fixed = asdict(IMAGE).keys() - {a for _, a, _ in VALUES.values()}
        for name in fixed - {"properties"}:
            self.assertEqual(getattr(changed, name), getattr(IMAGE, name))
