# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for L{glancetx.credentials}.
"""

from __future__ import annotations

import os
from pathlib import Path
from textwrap import dedent

from glancetx.credentials import IdentityConfig
from tests.certificates import make_certificate
from tests.configs import KEYSTONE, LoadCase

USER = """
[identity]
kind = "keystone"
auth_url = "https://keystone.example.com:5000/v3/"
username = "glance"
password = "a password"
project_name = "service"
user_domain_name = "Default"
project_domain_name = "Default"
"""


class IdentityCase(LoadCase):
    """Loads ``[identity]``."""

    def identity(self, text: str) -> IdentityConfig:
        return self.load(dedent(text)).identity

    def make(self, name: str, content: str, mode: int = 0o600) -> str:
        """Write a file beside the configuration."""
        path = os.path.join(self.folder, name)
        Path(path).write_text(content, encoding="utf-8")
        os.chmod(path, mode)
        return path


class KindTests(IdentityCase):
    """``load``: which keys belong to which kind"""

    def test_nobody(self) -> None:
        """
        Without the table nobody is asked; rules may still be given.
        """
        self.assertEqual(self.identity(""), IdentityConfig())
        self.assertEqual(
            self.identity("identity.policy_file = 'p.yaml'"),
            IdentityConfig(policy_file=f"{self.folder}/p.yaml"),
        )

    def test_tokens(self) -> None:
        """
        Every key of the kind arrives; the files need not be there yet.
        """
        self.assertEqual(
            self.identity(
                """
                [identity]
                kind = "tokens"
                tokens_file = "tokens.toml"
                signing_keys_file = "/etc/keys"
                policy_file = "policy.yaml"
                """
            ),
            IdentityConfig(
                kind="tokens",
                tokens_file=f"{self.folder}/tokens.toml",
                signing_keys_file="/etc/keys",
                policy_file=f"{self.folder}/policy.yaml",
            ),
        )

    def test_unknown(self) -> None:
        """
        A kind that there is not is refused with those that there are.
        """
        self.assert_wrong(
            "identity.kind = 'ldap'",
            'identity.kind: must be "none" or "tokens" or "keystone", not "ldap"',
        )

    def test_of_others(self) -> None:
        """
        A key that its kind cannot use is refused, and its own kinds are named.
        """
        for text, key, kinds in (
            ("tokens_file = 'x'", "tokens_file", '"tokens", not "none"'),
            ("auth_url = 'http://k'", "auth_url", '"keystone", not "none"'),
            (
                "signing_keys_file = 'x'",
                "signing_keys_file",
                '"tokens" or "keystone", not "none"',
            ),
            (
                "kind = 'tokens'\ntokens_file = 'x'\npassword_file = 'x'",
                "password_file",
                '"keystone", not "tokens"',
            ),
        ):
            problem = f"identity.{key}: is for kind = {kinds}"
            self.assert_wrong(f"[identity]\n{text}", problem)
        self.assert_wrong(
            f"{KEYSTONE}tokens_file = 'x'",
            'identity.tokens_file: is for kind = "tokens", not "keystone"',
        )

    def test_needed(self) -> None:
        """
        The kind's own key cannot be left out.
        """
        self.assert_wrong(
            "identity.kind = 'tokens'",
            "identity.tokens_file: is needed: the path of the file that holds them",
        )
        self.assert_wrong(
            "identity.kind = 'keystone'",
            "identity.auth_url: is needed: "
            'for example "https://keystone.example.com:5000"',
        )


class KeystoneTests(IdentityCase):
    """``load``: ``identity.kind = "keystone"``"""

    def test_application_credential(self) -> None:
        """
        An application credential is an id and a secret.
        """
        self.assertEqual(
            self.identity(KEYSTONE),
            IdentityConfig(
                kind="keystone",
                auth_url="http://keystone.example.com/identity",
                application_credential_id="an id",
                application_credential_secret="a secret",
            ),
        )

    def test_user(self) -> None:
        """
        A user has a password, a project and two domains.
        """
        ca_file = make_certificate(os.path.join(self.folder, "ca.pem"))
        self.assertEqual(
            self.identity(f"{USER}ca_file = 'ca.pem'"),
            IdentityConfig(
                kind="keystone",
                auth_url="https://keystone.example.com:5000/v3",
                username="glance",
                password="a password",
                project_name="service",
                user_domain_name="Default",
                project_domain_name="Default",
                ca_file=ca_file,
            ),
        )

    def test_secret_files(self) -> None:
        """
        A secret may lie in a file of its own, beside the configuration; where is
        remembered, so that it can be read again.
        """
        path = self.make("s", "filed\n")
        application = KEYSTONE.replace('_secret = "a secret"', "_secret_file = 's'")
        found = self.identity(application)
        self.assertEqual(found.application_credential_secret, "filed")
        self.assertEqual(found.secret_file, path)
        user = USER.replace('password = "a password"', "password_file = 's'")
        self.assertEqual(self.identity(user).password, "filed")

    def test_open_secret(self) -> None:
        """
        A file that others can read holds no secret.
        """
        path = self.make("s", "filed\n", 0o644)
        self.assert_wrong(
            USER.replace('password = "a password"', "password_file = 's'"),
            f"identity.password_file: {path}: has mode 0644, so that others may use "
            f"what it holds; chmod 600 {path}",
        )

    def test_secret_twice(self) -> None:
        """
        A secret is given once.
        """
        self.make("s", "filed\n")
        self.assert_wrong(
            f"{USER}password_file = 's'",
            "identity.password_file: cannot be given beside password",
        )

    def test_way(self) -> None:
        """
        There is one way to be somebody: not two, not none.
        """
        problem = (
            'identity.kind: "keystone" needs either application_credential_id and its '
            "secret, or username, password, project_name and both domain names"
        )
        self.assert_wrong(f"{USER}application_credential_id = 'x'", problem)
        self.assert_wrong(
            "[identity]\nkind = 'keystone'\nauth_url = 'http://k'", problem
        )

    def test_missing_part(self) -> None:
        """
        What a way lacks is named, and why it is needed.
        """
        self.assert_wrong(
            KEYSTONE.replace('application_credential_secret = "a secret"', ""),
            "identity.application_credential_secret: is needed: a text in quotes, "
            "since application_credential_id is given, "
            "or application_credential_secret_file",
        )
        self.assert_wrong(
            USER.replace('project_domain_name = "Default"', ""),
            "identity.project_domain_name: is needed: a text in quotes, since username "
            "is given",
        )

    def test_wrong_url(self) -> None:
        """
        Keystone's URL is checked like every other.
        """
        text = KEYSTONE.replace("http://keystone.example.com/identity", "keystone")
        with self.assertRaises(Exception) as caught:
            self.load(text)
        self.assertIn("identity.auth_url: ", str(caught.exception))

    def test_ca_file(self) -> None:
        """
        A file of authorities must be there, and be of use.
        """
        self.assert_wrong(
            f"{KEYSTONE}ca_file = 'x'",
            "identity.ca_file: is for https, but auth_url is not",
        )
        self.assert_wrong(
            f"{USER}ca_file = 'x'",
            f"identity.ca_file: {self.folder}/x: No such file or directory",
        )

    def test_not_shown(self) -> None:
        """
        No secret is in what a log or a traceback might show.
        """
        for text in (KEYSTONE, USER):
            shown = repr(self.load(text))
            self.assertNotIn("a secret", shown)
            self.assertNotIn("a password", shown)
