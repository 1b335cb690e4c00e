"""Three nodes of Patroni and an etcd, on free ports of 127.0.0.1, in a folder of their own."""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import psycopg

# Seconds. Patroni accepts no shorter ttl than 20.
DCS = {"ttl": 20, "loop_wait": 2, "retry_timeout": 5}
PARAMETERS = {
    "shared_preload_libraries": "",
    "max_connections": 60,
    "fsync": "off",
    "checkpoint_timeout": "30s",
    "log_line_prefix": "%m [%p] ",
    "scram.builtin_words": 100,
}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def until(what: str, condition, seconds: float = 90):
    """Waits for a value that is true, and returns it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if value := condition():
                return value
        except (psycopg.OperationalError, OSError):
            pass
        time.sleep(0.1)
    raise TimeoutError(f"{what}: not within {seconds} seconds")


@dataclass(frozen=True)
class Node:
    name: str
    port: int
    api: int
    log: Path

    def status(self) -> dict:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.api}/patroni", timeout=5) as answer:
            return json.load(answer)


class Cluster:
    def __init__(self, folder: Path, bin_dir: str, has_cron: bool):
        self.folder, self.bin_dir = folder, bin_dir
        self.password, self.replication_password = secrets.token_hex(16), secrets.token_hex(16)
        self.processes: list[subprocess.Popen] = []
        self.has_cron = has_cron
        self.switchovers = 0
        self.etcd_port = free_port()
        self.nodes = [Node(f"node{i}", free_port(), free_port(), folder / f"node{i}.log") for i in (1, 2, 3)]

    def start(self) -> None:
        client, peer = (f"http://127.0.0.1:{port}" for port in (self.etcd_port, free_port()))
        self._run(self.folder / "etcd.log", self.folder / "etcd", "--name", "etcd", "--data-dir", self.folder / "store",
                  "--listen-client-urls", client, "--advertise-client-urls", client, "--listen-peer-urls", peer,
                  "--initial-advertise-peer-urls", peer, "--initial-cluster", f"etcd={peer}", "--unsafe-no-fsync")
        until("etcd listens", lambda: urllib.request.urlopen(f"{client}/health", timeout=2))
        for node in self.nodes:
            # Every JSON is YAML.
            path = self.folder / f"{node.name}.yml"
            path.write_text(json.dumps(self._configuration(node)), encoding="utf-8")
            path.chmod(0o644)
            self._run(node.log, self.folder / "python/bin/python", "-B", "-m", "patroni", path)
        until("three nodes run", self._settled, 180)

    def _configuration(self, node: Node) -> dict:
        parameters = dict(PARAMETERS)
        if self.has_cron:
            parameters |= {"shared_preload_libraries": "pg_cron", "cron.database_name": "postgres",
                           "cron.use_background_workers": "on"}
        user = {"username": "postgres", "password": self.password}
        return {
            "scope": "ha",
            "name": node.name,
            "restapi": {"listen": f"127.0.0.1:{node.api}", "connect_address": f"127.0.0.1:{node.api}"},
            "etcd3": {"host": f"127.0.0.1:{self.etcd_port}"},
            "bootstrap": {
                "dcs": DCS | {"postgresql": {"use_pg_rewind": True, "parameters": parameters}},
                "initdb": [{"encoding": "UTF8"}, {"locale": "C.UTF-8"}, "data-checksums"],
            },
            "postgresql": {
                "listen": f"127.0.0.1:{node.port}",
                "connect_address": f"127.0.0.1:{node.port}",
                "bin_dir": self.bin_dir,
                "data_dir": str(self.folder / node.name),
                "pgpass": str(self.folder / f"{node.name}.pgpass"),
                "authentication": {
                    "superuser": user,
                    "replication": {"username": "replicator", "password": self.replication_password},
                },
                "pg_hba": ["local all all trust", "host replication replicator 127.0.0.1/32 scram-sha-256",
                           "host all all 127.0.0.1/32 scram-sha-256"],
                "parameters": {"unix_socket_directories": str(self.folder)},
            },
        }

    def _run(self, log: Path, *command) -> None:
        """A process of the server's user, in a clean environment. The kernel stops it if this one dies."""
        user = ["--reuid", "postgres", "--regid", "postgres", "--init-groups"] if os.getuid() == 0 else []
        command = ["setpriv", "--pdeathsig", "TERM", *user, *map(str, command)]
        environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": str(self.folder)}
        with log.open("ab") as output:
            self.processes.append(subprocess.Popen(
                command, cwd="/", env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                start_new_session=True))

    def stop(self) -> None:
        """Patroni stops its server; etcd goes last, because Patroni asks it for the lock."""
        etcd, *nodes = self.processes or [None]
        for process in nodes:
            process.terminate()
        for process in [*nodes, etcd]:
            if process is None:
                continue
            if process is etcd:
                process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
        for node in self.nodes:
            # A server that Patroni did not stop.
            pid = self.folder / node.name / "postmaster.pid"
            if pid.exists():
                os.kill(int(pid.read_text().split()[0]), signal.SIGQUIT)
                until(f"{node.name} is down", lambda pid=pid: not pid.exists(), 10)

    # -- What runs where

    def connect(self, *nodes: Node, **options) -> psycopg.Connection:
        """A superuser's session on the first of the nodes that is as the options ask."""
        nodes = nodes or tuple(self.nodes)
        return psycopg.connect(
            host=",".join("127.0.0.1" for _ in nodes), port=",".join(str(node.port) for node in nodes), user="postgres",
            password=self.password, dbname="postgres", autocommit=True, connect_timeout=5, **options)

    def query(self, node: Node, sql: str, parameters=None) -> list[tuple]:
        with self.connect(node) as session:
            return session.execute(sql, parameters).fetchall()

    def value(self, node: Node, sql: str, parameters=None):
        return self.query(node, sql, parameters)[0][0]

    def primary(self) -> Node:
        return self._settled() or until("a primary and two standbys", self._settled)

    def standbys(self) -> list[Node]:
        primary = self.primary()
        return [node for node in self.nodes if node is not primary]

    def _settled(self) -> Node | None:
        """The primary, if both standbys stream from it."""
        status = {node.name: node.status() for node in self.nodes}
        primaries = [node for node in self.nodes if status[node.name].get("role") in ("primary", "master")]
        streaming = [s for s in status.values() if s.get("replication_state") == "streaming"]
        timelines = {s.get("timeline") for s in status.values()}
        running = all(s.get("state") == "running" for s in status.values())
        return primaries[0] if running and len(primaries) == 1 and len(streaming) == 2 and len(timelines) == 1 else None

    def catch_up(self) -> None:
        """Waits until the standbys have replayed what the primary has written."""
        lsn = self.value(self.primary(), "SELECT pg_current_wal_lsn()")
        for node in self.standbys():
            until(f"{node.name} has replayed {lsn}",
                  lambda node=node: self.value(node, "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", [lsn]))

    def switch_over(self) -> Node:
        """To the next node; returns the new primary."""
        old = until("a primary and two standbys", self._settled)
        new = self.nodes[(self.nodes.index(old) + 1) % len(self.nodes)]
        body = json.dumps({"leader": old.name, "candidate": new.name}).encode()

        def ask() -> bool:
            request = urllib.request.Request(f"http://127.0.0.1:{old.api}/switchover", body)
            try:
                with urllib.request.urlopen(request, timeout=60):
                    return True
            except urllib.error.HTTPError as error:
                print(f"Patroni: {error.code} {error.read().decode()}", file=sys.stderr)
                return new.status().get("role") in ("primary", "master")

        until(f"a switch-over from {old.name} to {new.name}", ask)
        self.switchovers += 1
        now = until("a primary and two standbys", self._settled)
        assert now is new, f"{now.name} is the primary instead of {new.name}"
        return new
