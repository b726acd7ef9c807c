# Copyright glancetx contributors. See LICENSE for details.

"""
Every number that bounds what the server does, in one place, with its default.

The ``[limits]`` table of the configuration has a key for each of them.
"""

from __future__ import annotations

from typing import Any

from attrs import Attribute, field, fields, frozen

__all__ = ["Limits"]

LARGEST = 2**31 - 1
"""What every call of the system and every timer can take."""


def _limit(default: int, unit: str, help: str, least: int = 1) -> Any:
    """
    A field of :class:`Limits`: a whole number from ``least`` to ``LARGEST``.

    :raises ValueError: (when a ``Limits`` is made) with a sentence for a person.
    """

    def check(instance: Limits, attribute: Attribute[int], value: Any) -> None:
        if type(value) is not int or value < least:
            raise ValueError(f"must be a whole number, {least} or more")
        if value > LARGEST:
            raise ValueError(f"must be {LARGEST} or less")

    return field(
        default=default,
        validator=check,
        metadata={"unit": unit, "help": help, "least": least},
    )


@frozen
class Limits:
    """
    The numbers, with defaults that suit one machine with a few thousand readers.

    Each field's metadata have its ``unit``, ``help`` and ``least`` value.

    :raises ValueError: if a number is not whole or too small.
    """

    header_bytes: int = _limit(65536, "bytes", "of request line and headers together")
    header_count: int = _limit(500, "headers", "in one request")
    header_seconds: int = _limit(20, "seconds", "until all headers of a request came")
    idle_seconds: int = _limit(60, "seconds", "a connection may wait between requests")
    body_rate: int = _limit(1024, "bytes/s", "that an upload must bring on average")
    body_seconds: int = _limit(30, "seconds", "over which `body_rate` is measured")
    upload_window: int = _limit(
        1048576, "bytes", "queued for one upload before its client is paused"
    )
    stall_seconds: int = _limit(
        60, "seconds", "without acknowledged progress until a reader is cut"
    )
    linger_seconds: int = _limit(
        10, "seconds", "a connection is kept so that its client reads the last answer"
    )
    linger_bytes: int = _limit(
        16777216, "bytes", "of a refused upload that are swallowed meanwhile"
    )
    drain_seconds: int = _limit(
        600, "seconds", "for running transfers at SIGTERM; 0 cuts them at once", least=0
    )
    chain_depth: int = _limit(64, "images", "in one chain, the image itself included")
    ranges: int = _limit(16, "ranges", "in one request")
    backlog: int = _limit(1024, "connections", "that the kernel may hold for us")
    connections: int = _limit(
        10000, "connections", "open at once, all sockets together"
    )
    origin_seconds: int = _limit(
        30, "seconds", "to connect to an origin, and to wait for its next byte"
    )
    origin_tries: int = _limit(
        3, "tries", "without progress until an origin's piece is given up"
    )
    list_limit: int = _limit(1000, "images", "in one page of a list, at most")
    list_default: int = _limit(25, "images", "in one page if the caller does not say")
    list_bytes: int = _limit(
        4194304, "bytes", "of properties and tags in one page of several images"
    )
    file_threads: int = _limit(8, "threads", "that read and write pieces")
    digest_threads: int = _limit(
        0, "threads", "that make digests; 0 is one a core, at least 2", least=0
    )
    catalogue_connections: int = _limit(
        4, "connections", "to the catalogue's database; one of them writes", least=2
    )
    catalogue_seconds: int = _limit(
        10, "seconds", "until the catalogue's database must have answered"
    )
    image_members: int = _limit(128, "projects", "that one image is shared with")
    image_tags: int = _limit(128, "tags", "of one image")
    image_properties: int = _limit(128, "properties", "of one image")
    property_bytes: int = _limit(
        65536, "bytes", "of names and values of one image's properties together"
    )
    image_leases: int = _limit(1000, "leases", "of one image by one project")
    json_bytes: int = _limit(262144, "bytes", "of a request in JSON")
    identity_seconds: int = _limit(5, "seconds", "until Keystone must have answered")
    identity_cache_seconds: int = _limit(
        60, "seconds", "that an answer of Keystone is trusted, at most"
    )
    identity_cache_entries: int = _limit(
        10000, "tokens", "that Keystone's answers are kept of"
    )
    lease_seconds: int = _limit(
        604800, "seconds", "until a lease has to be renewed, at most", least=60
    )
    inspect_bytes: int = _limit(
        1048576,
        "bytes",
        "of a disk's headers that are read to tell its format; 262144 or more",
        least=262144,  # more than any honest disk takes
    )

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The names of all limits, in the order of the documentation."""
        return tuple(attribute.name for attribute in fields(cls))
