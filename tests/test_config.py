# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for L{glancetx.config}.
"""

from __future__ import annotations

import os
from pathlib import Path

from glancetx.config import Config, OriginConfig, ServerConfig, StoreConfig, load
from glancetx.errors import ConfigError
from glancetx.limits import Limits
from tests.certificates import make_certificate
from tests.configs import KEYSTONE, ORIGIN, STORE, LoadCase


class FileTests(LoadCase):
    """``load``: the file itself"""

    def test_no_file(self) -> None:
        """
        Without a file there is SQLite and one folder below the working directory.
        """
        here = os.getcwd()
        self.assertEqual(
            load(None),
            Config(
                source="the embedded defaults",
                folder=here,
                server=ServerConfig(
                    listen=("tcp:9292:interface=127.0.0.1",),
                    public_url="http://127.0.0.1:9292",
                ),
                catalogue_url=f"sqlite:///{here}/glancetx-data/catalogue.sqlite",
                stores=(
                    StoreConfig(
                        "main", "filesystem", {"path": "glancetx-data/pieces"}, True
                    ),
                ),
            ),
        )

    def test_missing(self) -> None:
        """
        A file that is not there is said to be not there.
        """
        with self.assertRaises(ConfigError) as caught:
            load("/none/glancetx.toml")
        self.assertEqual(
            str(caught.exception),
            "/none/glancetx.toml: cannot be read: No such file or directory",
        )

    def test_syntax(self) -> None:
        """
        What is not TOML is said with its line.
        """
        self.assert_wrong(
            "[server]\nlisten = [1,,2]",
            "line 2, column 13: is not TOML: Invalid value",
            store="",
        )

    def test_cut_off(self) -> None:
        """
        A file that ends too early is said to.
        """
        Path(self.path).write_text("[server", encoding="utf-8")
        with self.assertRaises(ConfigError) as caught:
            load(self.path)
        self.assertIn("is not TOML", str(caught.exception))
        self.assertIn("end of document", str(caught.exception))

    def test_endless(self) -> None:
        """
        Numbers and brackets that go on and on are refused, with the file's name.
        """
        for text in ("ranges = " + "9" * 5000, "x = " + "[" * 5000 + "]" * 5000):
            Path(self.path).write_text(text, encoding="utf-8")
            with self.assertRaises(ConfigError) as caught:
                load(self.path)
            self.assertIn(f"{self.path}: cannot be read: ", str(caught.exception))

    def test_not_utf8(self) -> None:
        """
        Bytes that are not UTF-8 are said with their line.
        """
        Path(self.path).write_bytes(b"[server]\n# caf\xe9\n")
        with self.assertRaises(ConfigError) as caught:
            load(self.path)
        self.assertEqual(str(caught.exception), f"{self.path}: line 2: is not UTF-8")

    def test_relative_paths(self) -> None:
        """
        Relative paths are relative to the file's folder, absolute ones are kept.
        """
        config = self.load(
            """
            server.access_log = "log/access.log"
            catalogue.url = "sqlite:///db/c.sqlite"
            """
        )
        self.assertEqual(config.folder, self.folder)
        self.assertEqual(config.server.access_log, f"{self.folder}/log/access.log")
        self.assertEqual(config.catalogue_url, f"sqlite:///{self.folder}/db/c.sqlite")
        absolute = self.load('catalogue.url = "sqlite:////srv/c.sqlite"')
        self.assertEqual(absolute.catalogue_url, "sqlite:////srv/c.sqlite")

    def test_relative_file(self) -> None:
        """
        The file itself may be named by a relative path.
        """
        Path(self.path).write_text(STORE, encoding="utf-8")
        path = os.path.relpath(self.path)
        config = load(path)
        self.assertEqual((config.source, config.folder), (path, self.folder))


class ServerTests(LoadCase):
    """``load``: ``[server]``"""

    def test_given(self) -> None:
        """
        Every key of the table arrives.
        """
        self.assertEqual(
            self.server(
                """
                listen = ["tcp:80"]
                public_url = "https://Zone.Example.com/"
                aliases = ["http://zone:9292"]
                insecure = true
                md5 = false
                os_hash_algo = "sha512"
                access_log = "/var/log/glancetx/access.log"
                """
            ),
            ServerConfig(
                listen=("tcp:80",),
                public_url="https://zone.example.com",
                aliases=("http://zone:9292",),
                insecure=True,
                md5=False,
                os_hash_algo="sha512",
                access_log="/var/log/glancetx/access.log",
            ),
        )

    def test_url_from_listen(self) -> None:
        """
        On loopback with a fixed port the first endpoint gives the public URL.
        """
        for listen, url in (
            ("tcp:9393:interface=127.0.0.1", "http://127.0.0.1:9393"),
            ("tcp:80:interface=localhost", "http://localhost"),
            (r"tcp6:9393:interface=\\:\\:1", "http://[::1]:9393"),
        ):
            server = self.server(f'listen = ["{listen}", "unix:s"]')
            self.assertEqual(server.public_url, url)

    def test_url_of_certificate(self) -> None:
        """
        An endpoint with a certificate gives an https URL; its file is in the folder.
        """
        make_certificate(os.path.join(self.folder, "key.pem"))
        server = self.server(
            'listen = ["ssl:443:privateKey=key.pem:interface=127.0.0.1"]'
        )
        self.assertEqual(server.public_url, "https://127.0.0.1")
        self.assertIn(f"privateKey={self.folder}/key.pem", server.listen[0])

    def test_url_needed(self) -> None:
        """
        Where the endpoint does not tell a name, it must be given.
        """
        for listen in (
            "tcp:0:interface=127.0.0.1",
            "unix:s",
            "tcp:9292",
            "tcp:9292:interface=192.0.2.1",
        ):
            with self.assertRaises(ConfigError) as caught:
                self.server(f'listen = ["{listen}"]\ninsecure = true')
            self.assertEqual(caught.exception.key, "server.public_url")
            url = 'public_url = "http://z.example.com"'
            self.server(f'listen = ["{listen}"]\ninsecure = true\n{url}')

    def test_beyond_loopback(self) -> None:
        """
        Nobody is let in from beyond this machine unless told that this is meant.
        """
        for listen in ("tcp:9292", "tcp6:9292", "systemd:domain=INET6:index=0"):
            with self.assertRaises(ConfigError) as caught:
                self.server(
                    f'listen = ["tcp:1:interface=127.0.0.1", "{listen}"]\n'
                    'public_url = "http://z.example.com"'
                )
            self.assertEqual(caught.exception.key, "server.listen")
            self.assertIn("insecure = true", caught.exception.problem)

    def test_nowhere(self) -> None:
        """
        A server that listens nowhere is refused.
        """
        self.assert_wrong(
            "server.listen = []", "server.listen: needs one endpoint at least"
        )

    def test_wrong_endpoint(self) -> None:
        """
        An endpoint that cannot be is refused when the file is read.
        """
        self.assert_wrong(
            'server.listen = ["tcp:web"]',
            "server.listen: \"tcp:web\": invalid literal for int() with base 10: 'web'",
        )

    def test_digest(self) -> None:
        """
        Only digests that the server makes can be asked for.
        """
        self.assert_wrong(
            'server.os_hash_algo = "md5"',
            'server.os_hash_algo: must be "sha256" or "sha512", not "md5"',
        )

    def test_identities(self) -> None:
        """
        A server that asks who is there may listen anywhere.
        """
        config = self.load(
            """
            [server]
            listen = ["tcp:9292"]
            public_url = "http://z.example.com"
            [identity]
            kind = "tokens"
            tokens_file = "tokens.toml"
            """
        )
        self.assertFalse(config.server.insecure)
        self.assertEqual(config.identity.kind, "tokens")


class CatalogueTests(LoadCase):
    """``load``: ``[catalogue]``"""

    def test_refused(self) -> None:
        """
        Nothing but a SQLite file or a PostgreSQL is a catalogue, and that is said.
        """
        for url in ("mysql://db/x", "sqlite://", "sqlite:///:memory:", "x.sqlite"):
            self.assert_wrong(
                f'catalogue.url = "{url}"',
                "catalogue.url: must be sqlite:/// and the path of a file, or "
                "postgresql://USER@HOST/DATABASE",
            )

    def test_postgresql(self) -> None:
        """
        A PostgreSQL is taken as it stands; locks lie with the data, or where one says.
        """
        for url in ("postgresql://me@db/x?sslmode=require", "postgresql+psycopg:///x"):
            config = self.load(f'catalogue.url = "{url}"')
            self.assertEqual(config.catalogue_url, url)
            locks = f"{self.folder}/glancetx-data/processes"
            self.assertEqual(config.catalogue_locks, locks)
        config = self.load('catalogue = {url = "postgresql:///x", locks = "/run/g"}')
        self.assertEqual(config.catalogue_locks, "/run/g")

    def test_url_file(self) -> None:
        """
        The URL may lie in a file that nobody else can read, and is not shown.
        """
        path = Path(self.folder, "url")
        path.write_text("postgresql://me:opensesame@db/x\n", encoding="ascii")
        path.chmod(0o644)
        self.assert_wrong(
            'catalogue.url_file = "url"',
            f"catalogue.url_file: {path}: has mode 0644, so that others may use what "
            f"it holds; chmod 600 {path}",
        )
        path.chmod(0o600)
        config = self.load('catalogue.url_file = "url"')
        self.assertEqual(config.catalogue_url, "postgresql://me:opensesame@db/x")
        self.assertNotIn("opensesame", repr(config))
        self.assert_wrong(
            'catalogue = {url = "postgresql:///x", url_file = "url"}',
            "catalogue.url_file: cannot be given beside url",
        )

    def test_query(self) -> None:
        """
        Options behind the path would be taken for a part of it, and are refused.
        """
        self.assert_wrong(
            'catalogue.url = "sqlite:////srv/c?mode=ro"',
            "catalogue.url: /srv/c?mode=ro: ? and # cannot be in the path",
        )


class StoreTests(LoadCase):
    """``load``: ``[stores.NAME]``"""

    def test_options(self) -> None:
        """
        A backend is given all keys but those that every store has.
        """
        own = 'path = "p"\ndepth = 2\n[stores.main.extra]\na = 1'
        store = self.load("", STORE + own).stores[0]
        self.assertEqual(store.options, {"path": "p", "depth": 2, "extra": {"a": 1}})

    def test_only_one(self) -> None:
        """
        A lone store is the default one without being told.
        """
        self.assertTrue(self.load("").stores[0].default)

    def test_two(self) -> None:
        """
        Of several stores the one that says so is the default.
        """
        stores = self.load("", f"{STORE}[stores.b]\nbackend='x'\ndefault=true").stores
        self.assertEqual(
            stores,
            (
                StoreConfig("main", "filesystem", {}, False),
                StoreConfig("b", "x", {}, True),
            ),
        )

    def test_no_default(self) -> None:
        """
        Stores without a default one are refused.
        """
        problem = "stores: one must have default = true; now none has"
        self.assert_wrong("", problem, f"{STORE}[stores.b]\nbackend='x'")
        self.assert_wrong("", problem, f"{STORE}default = false")

    def test_two_defaults(self) -> None:
        """
        Two default stores are refused and named.
        """
        self.assert_wrong(
            "",
            "stores: one must have default = true; now main and b have",
            f"{STORE}default=true\n[stores.b]\nbackend='x'\ndefault=true",
        )

    def test_none(self) -> None:
        """
        A server without a store is refused, with an example.
        """
        for text in ("", "[stores]"):
            with self.assertRaises(ConfigError) as caught:
                self.load(text, "")
            self.assertEqual(caught.exception.key, "stores")
            self.assertIn("[stores.main]", caught.exception.problem)

    def test_no_backend(self) -> None:
        """
        A store must say its backend.
        """
        self.assert_wrong(
            "", "stores.a.backend: is needed: a text in quotes", "[stores.a]\npath='x'"
        )

    def test_not_a_table(self) -> None:
        """
        Keys right under ``[stores]`` are refused.
        """
        self.assert_wrong(
            "", 'stores.path: must be a table, not "x"', "[stores]\npath='x'"
        )

    def test_names(self) -> None:
        """
        A store's name cannot have characters that would confuse a log.
        """
        for name in ("a b", "a/b", "\\n", "-x", "x" * 65, ""):
            with self.assertRaises(ConfigError) as caught:
                self.load("", f"[stores.\"{name}\"]\nbackend='x'")
            self.assertIn("a name has letters", caught.exception.problem)


class OriginTests(LoadCase):
    """``load``: ``[[origins]]``"""

    def test_given(self) -> None:
        """
        Every key of the table arrives.
        """
        ca_file = make_certificate(os.path.join(self.folder, "ca.pem"))
        origin = self.origin(
            """
            aliases = ["http://10.0.0.1:9292/"]
            via = "https://127.0.0.1:6081"
            proxy = "http://proxy:3128"
            ca_file = "ca.pem"
            """
        )
        self.assertEqual(
            origin,
            OriginConfig(
                name="global",
                url="http://g.example.com",
                aliases=("http://10.0.0.1:9292",),
                via="https://127.0.0.1:6081",
                proxy="http://proxy:3128",
                ca_file=ca_file,
            ),
        )

    def test_name_needed(self) -> None:
        """
        An origin without a name is told by its number in the file.
        """
        self.assert_wrong(
            f"{ORIGIN}[[origins]]\nurl = 'http://x'",
            "origins #2.name: is needed: a text in quotes",
        )

    def test_same_name(self) -> None:
        """
        Two origins of one name are refused.
        """
        self.assert_wrong(
            f"{ORIGIN}[[origins]]\nname = 'global'\nurl = 'http://x'",
            "origins.global.name: two origins have this name",
        )

    def test_same_url(self) -> None:
        """
        A URL that leads to two servers is refused, in whatever form it is given.
        """
        for line in (
            "url = 'http://G.example.com:80/'",
            "url = 'http://x'\naliases = ['http://g.example.com']",
        ):
            self.assert_wrong(
                f"{ORIGIN}[[origins]]\nname = 'b'\n{line}",
                "origins.b: http://g.example.com is also a URL of origin global",
            )

    def test_own_url(self) -> None:
        """
        A server is not its own origin, under none of its names.
        """
        for line in (
            "public_url = 'http://g.example.com'",
            "aliases = ['http://G.example.com/']",
        ):
            self.assert_wrong(
                f"[server]\n{line}\n{ORIGIN}",
                "origins.global: http://g.example.com is also a URL of this server",
            )

    def test_repeated_alias(self) -> None:
        """
        An alias that says the origin's URL again does no harm.
        """
        origin = self.origin("aliases = ['http://g.example.com/']")
        self.assertEqual(origin.aliases, (origin.url,))

    def test_proxy_of_https(self) -> None:
        """
        An https origin cannot be asked through a proxy.
        """
        self.assert_wrong(
            "[[origins]]\nname='g'\nurl='https://g'\nproxy='http://p:3128'",
            "origins.g.proxy: cannot be used, since the origin's url is https",
        )

    def test_wrong_proxy(self) -> None:
        """
        A proxy is an HTTP one, and has no path.
        """
        for proxy in ("https://p:3128", "http://p:3128/x"):
            self.assert_wrong(
                f"{ORIGIN}proxy = '{proxy}'",
                "origins.global.proxy: must be http://, a host and perhaps a port",
            )

    def test_missing_ca_file(self) -> None:
        """
        A file of authorities that is not there is refused at start.
        """
        self.assert_wrong(
            "[[origins]]\nname='g'\nurl='https://g'\nca_file='ca.pem'",
            f"origins.g.ca_file: {self.folder}/ca.pem: No such file or directory",
        )

    def test_credential(self) -> None:
        """
        The token for an origin lies in a file of this server's user alone.
        """
        path = os.path.join(self.folder, "token")
        line = "credential_file = 'token'"
        wrong = f"origins.global.credential_file: {path}: "
        self.assert_wrong(
            ORIGIN + line, f"{wrong}cannot be read: No such file or directory"
        )
        Path(path).write_text("gtx_a_b\n", encoding="ascii")
        os.chmod(path, 0o640)
        self.assert_wrong(
            ORIGIN + line,
            f"{wrong}has mode 0640, so that others may use what it holds; "
            f"chmod 600 {path}",
        )
        os.chmod(path, 0o600)
        self.assertEqual(self.origin(line).credential_file, path)

    def test_same_keystone(self) -> None:
        """
        Only a server with a Keystone can share it with an origin.
        """
        line = f"{ORIGIN}same_keystone = true"
        for kind, more in (("none", ""), ("tokens", "identity.tokens_file = 'x'\n")):
            self.assert_wrong(
                f"identity.kind = '{kind}'\n{more}{line}",
                'origins.global.same_keystone: needs identity.kind = "keystone", '
                f'not "{kind}"',
            )
        config = self.load(KEYSTONE + line)
        self.assertTrue(config.origins[0].same_keystone)
        self.assertFalse(self.origin("").same_keystone)

    def test_useless_ca_file(self) -> None:
        """
        A file of authorities for an origin without https is refused.
        """
        self.assert_wrong(
            f"{ORIGIN}ca_file = 'ca.pem'",
            "origins.global.ca_file: is for https, but neither url nor via is",
        )


class LimitsTests(LoadCase):
    """``load``: ``[limits]``"""

    def test_some(self) -> None:
        """
        A limit that is given replaces its default alone.
        """
        limits = self.load("[limits]\nranges = 4\ndrain_seconds = 0").limits
        self.assertEqual(limits, Limits(ranges=4, drain_seconds=0))

    def test_too_small(self) -> None:
        """
        A limit too small to work with is named.
        """
        self.assert_wrong(
            "limits.ranges = 0", "limits.ranges: must be a whole number, 1 or more"
        )

    def test_list_limits(self) -> None:
        """
        The default length of a list cannot be above its limit.
        """
        self.assert_wrong(
            "limits.list_limit = 10",
            "limits.list_default: 25 is more than list_limit, 10",
        )
