# Copyright glancetx contributors. See LICENSE for details.

"""
That ``docs/identity.md`` is true: what it types, its table of rights, its examples.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase

from glancetx.caller import NOBODY, Caller
from glancetx.identity.policy import RULES, Policy, Target
from glancetx.identity.policyfile import read_policy
from glancetx.identity.tokens import with_implied

from .pages import (
    matches,
    names_in,
    read_blocks,
    read_examples,
    read_table,
    run_examples,
)
from .servers import free_port

PAGE = Path(__file__).parent.parent / "docs" / "identity.md"
SERVER = "http://127.0.0.1:9292"
HANGUP = "kill -HUP $(cat twistd.pid)"
HEARD = (
    "n=$(grep -c 'tokens read' twistd.log); "
    f"{HANGUP}; until [ $(grep -c 'tokens read' twistd.log) -gt $n ]; "
    "do sleep 0.05; done"
)
ROLES = ("admin", "member", "reader", "service")
PROJECTS = ("owner", "sharer", "stranger")
SHARED = Target("owner", "sharer", "shared")
"""What an image is for those whom it is shared with; for others it is private."""

TARGETS = (
    Target("owner", None, "private"),
    Target("owner", None, "community"),
    Target("owner", None, "public"),
)

Allowed = Callable[[Caller, Target], bool]


def sees(caller: Caller, target: Target) -> bool:
    """Whether an image exists for a caller."""
    mine = caller.project in (target.project_id, target.member_id)
    return mine or target.visibility in ("community", "public")


def is_admin(caller: Caller) -> bool:
    return "admin" in caller.roles


def whoever(role: str, allowed: Allowed) -> Allowed:
    """A condition on those with a role, which admins need not meet."""
    return lambda caller, target: (
        is_admin(caller) or (role in caller.roles and allowed(caller, target))
    )


SAID: Mapping[str, Allowed] = {
    "admins": lambda caller, target: is_admin(caller),
    "readers": whoever("reader", lambda caller, target: True),
    "readers who can see it": whoever("reader", sees),
    "members who can see it": whoever("member", sees),
    "readers of its project": whoever(
        "reader", lambda caller, target: caller.project == target.project_id
    ),
    "members of its project": whoever(
        "member", lambda caller, target: caller.project == target.project_id
    ),
    "members of the project that it is shared with": whoever(
        "member", lambda caller, target: caller.project == target.member_id
    ),
    "everyone, if it is public": lambda caller, target: target.visibility == "public",
    "services": lambda caller, target: "service" in caller.roles,
    "readers who can see it, and services": lambda caller, target: (
        "service" in caller.roles or whoever("reader", sees)(caller, target)
    ),
}
"""What the table's last column says."""


def callers() -> Iterator[Caller]:
    """One of each role in each project, and nobody."""
    yield NOBODY
    for role in ROLES:
        for project in PROJECTS:
            yield Caller(role, project, with_implied([role]))


class PageCase(TestCase):
    if not PAGE.is_file():
        skip = f"there is no {PAGE}"


class ExampleTests(PageCase):
    """What the page types."""

    if shutil.which("curl") is None or shutil.which("bash") is None:
        skip = "curl or bash is not installed"

    async def test_all(self) -> None:
        """
        Every command gives what the page shows of it.
        """
        folder = Path(self.mktemp())
        folder.mkdir()
        self.addCleanup(self.end, folder / "twistd.pid")
        url = f"http://127.0.0.1:{free_port()}"
        config = read_blocks(PAGE, "toml")[0].replace(
            ":9292:", f":{url.split(':')[2]}:"
        )
        (folder / "glancetx.toml").write_text(config, encoding="utf-8")
        path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
        more = {"PATH": path, "GLANCETX_SERVER": url, "GLANCETX_TOKEN": ""}
        self.patch(os, "environ", {**os.environ, **more})
        examples = list(read_examples(PAGE))
        self.assertGreater(len(examples), 25)
        names = {SERVER: url, HANGUP: HEARD}
        done = await deferToThread(run_examples, examples, str(folder), names)
        for one, output in done:
            message = f"{one.command}gave\n{output}instead of\n{one.shown}"
            self.assertTrue(matches(one.shown, output), message)
        self.check_log(folder)

    def check_log(self, folder: Path) -> None:
        """No token is in the log of the server, nor the query of a signed URL."""
        log = (folder / "twistd.log").read_text(encoding="utf-8")
        self.assertGreater(log.count(" GET /images/"), 3)
        for secret in (
            "gtx_sig",
            *(folder / "alice").read_text().strip().split("_")[2:],
        ):
            self.assertNotIn(secret, log)

    def end(self, pid: Path) -> None:
        """End the server that an example has started, if none has ended it."""
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            os.kill(int(pid.read_text(encoding="ascii")), signal.SIGKILL)


class PolicyTests(SynchronousTestCase):
    """The policy file."""

    if not PAGE.is_file():
        skip = f"there is no {PAGE}"

    def test_policy(self) -> None:
        """
        The example of a policy file does what its comment says.
        """
        (text,) = read_blocks(PAGE, "yaml")
        path = Path(self.mktemp())
        path.write_text(text, encoding="utf-8")
        policy = read_policy(str(path))
        public = Target("owner", None, "public")
        member = Caller("m", "owner", with_implied(["member"]))
        deleter = Caller("m", "owner", member.roles | {"image_deleter"})
        self.assertFalse(policy.allows("read_public_image", NOBODY, public))
        self.assertFalse(policy.allows("delete_image", member, public))
        self.assertTrue(policy.allows("delete_image", deleter, public))


class RightsTests(SynchronousTestCase):
    """The table of rights."""

    if not PAGE.is_file():
        skip = f"there is no {PAGE}"

    def setUp(self) -> None:
        self.rows = read_table(PAGE, "| rule | lets do | whom |")

    def test_names(self) -> None:
        """
        Every rule is there, in the order of the code, and no other.
        """
        names = [name for row in self.rows for name in names_in(row[0])]
        self.assertEqual(names, list(RULES))

    def test_whom(self) -> None:
        """
        Whom the table names, each rule lets, and nobody else.
        """
        policy = Policy()
        for (name,), whom in ((names_in(row[0]), row[2]) for row in self.rows):
            for caller in callers():
                shared = [SHARED] if caller.project == "sharer" else []
                for target in (*TARGETS, *shared):
                    self.assertEqual(
                        policy.allows(name, caller, target),
                        SAID[whom](caller, target),
                        (name, caller, target),
                    )
