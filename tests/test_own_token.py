# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.identity.own_token`.
"""

from __future__ import annotations

from datetime import timedelta

from twisted.internet.defer import CancelledError, Deferred

from .keystone_case import KeystoneCase


class OwnTokenTests(KeystoneCase):
    """``Keystone.own_token``, and by which token Keystone is asked"""

    def setUp(self) -> None:
        super().setUp()
        self.fake.seconds = 1000

    def wait(self) -> Deferred[str | None]:
        return Deferred.fromCoroutine(self.keystone.own_token())

    def own(self) -> str:
        """The token, told at once."""
        text = self.successResultOf(self.wait())
        assert text is not None
        return text

    def test_first(self) -> None:
        """
        A token is asked for when it is first needed, and used from then on.
        """
        self.assertEqual(self.issued, 0)
        text = self.own()
        self.identify(self.fake.give())
        self.assertEqual(self.own(), text)
        self.assertEqual(self.issued, 1)
        self.assertEqual(self.fake.asked[-1].headers["x-auth-token"], text)

    def test_renewed(self) -> None:
        """
        When four fifths of its life are over another is asked for.
        """
        first = self.own()
        self.clock.advance(799)
        self.assertEqual(self.own(), first)
        self.assertEqual(self.issued, 1)
        self.clock.advance(1)
        self.own()
        self.assertEqual(self.issued, 2)
        self.assertNotEqual(self.own(), first)
        self.clock.advance(799)
        self.own()
        self.assertEqual(self.issued, 2)

    def test_nobody_waits(self) -> None:
        """
        Nobody waits for the other while the first is good, and it is asked for once.
        """
        first = self.own()
        self.clock.advance(800)
        self.fake.hang = True
        self.assertEqual([self.own() for _ in range(100)], [first] * 100)
        self.assertEqual(self.issued, 2)
        self.land()
        self.assertNotEqual(self.own(), first)

    def test_not_renewed(self) -> None:
        """
        As long as none is given the first is used, until it expires.
        """
        first = self.own()
        self.clock.advance(800)
        self.fake.methods = ("POST",)
        self.fake.status = 500
        self.assertEqual(self.own(), first)
        self.assertEqual(self.identify(self.fake.give()).user, "alice")
        self.fake.hang = True
        self.assertEqual(self.own(), first)
        self.clock.advance(5)
        self.assertEqual(self.own(), first)
        self.clock.advance(195)
        d = self.wait()
        self.clock.advance(5)
        self.assert_unavailable(d, "did not answer within 5 seconds")

    def test_refused(self) -> None:
        """
        So it is if Keystone refuses another; it is asked again after 10 seconds.
        """
        first = self.own()
        self.clock.advance(800)
        self.fake.trusts = False
        self.assertEqual([self.own() for _ in range(5)], [first] * 5)
        self.assertEqual(self.issued, 2)
        self.clock.advance(10)
        self.fake.trusts = True
        self.own()
        self.assertNotEqual(self.own(), first)
        self.assertEqual(self.issued, 3)

    def test_expired(self) -> None:
        """
        A token that nobody wanted for long, or that the time of day has outrun, is not
        used.
        """
        first = self.own()
        self.clock.advance(1000)
        second = self.own()
        self.jump += timedelta(seconds=1000)
        third = self.own()
        self.assertEqual(len({first, second, third}), 3)
        self.assertEqual(self.issued, 3)

    def test_cancelled(self) -> None:
        """
        Who no longer waits for it takes it from nobody.
        """
        self.fake.hang = True
        first, second = self.wait(), self.wait()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.land()
        self.assertEqual(self.successResultOf(second), self.own())
        self.assertEqual(self.issued, 1)

    def test_by_password(self) -> None:
        """
        A user with a password gets one for his project.
        """
        self.make_by(self.fake.config_of_user())
        self.assertIn("glance", self.own())
        self.make_by(self.fake.config_of_user(password="another"))
        self.assert_unavailable(self.wait(), "this server's own credential")
        self.make_by(self.fake.config_of_user(project_name="other"))
        self.assert_unavailable(self.wait(), "this server's own credential")
