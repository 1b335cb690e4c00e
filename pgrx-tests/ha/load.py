"""Switch-overs while several sessions log users in."""

import os
import random
import threading
import time
from collections import Counter

import psycopg
from cluster import Cluster
from exchange import Exchange, Violation
from report import Report
from steps import PASSWORD, USERS

SWITCHOVERS = int(os.environ.get("SWITCHOVERS", "10"))
SESSIONS = 4


class Gateway(threading.Thread):
    """A gateway's worker: it logs users in on the node that accepts writes, and connects again when the connection is lost.
    A call that was lost is sent again to the next connection; a call that was answered is not."""

    def __init__(self, cluster: Cluster, stop: threading.Event):
        super().__init__(daemon=True)
        self.cluster, self.stop_event = cluster, stop
        self.counts = Counter()
        self.violations: list[str] = []
        self.finished_at: list[float] = []
        self.longest = 0.0
        self.session = None
        self.port = None

    def run(self) -> None:
        while not self.stop_event.is_set():
            kind, right = random.choice(list(USERS)), random.random() < 0.7
            exchange = Exchange(kind, USERS[kind], PASSWORD if right else random.choice(["Zq8-wrong", PASSWORD.lower()]))
            try:
                self.exchange(exchange, right)
            except Violation as violation:
                self.violations.append(str(violation))
            except psycopg.Error as error:
                self.violations.append(f"{error.sqlstate} {error}")

    def exchange(self, exchange: Exchange, right: bool) -> None:
        begun = time.monotonic()
        repeated = self.call(exchange.start)[1]
        started_on = self.port
        accepted, again = self.call(exchange.finish)
        repeated += again
        self.counts["exchanges"] += 1
        self.counts["repeated"] += repeated > 0
        self.counts["moved"] += self.port != started_on
        self.counts["right, accepted" if right and accepted else "wrong, refused" if not right and not accepted
                    else "right, REFUSED" if right else "wrong, ACCEPTED"] += 1
        self.longest = max(self.longest, time.monotonic() - begun)
        self.finished_at.append(time.monotonic())

    def call(self, call):
        """The answer, and how often the connection was lost before it came."""
        lost = 0
        while True:
            try:
                if self.session is None:
                    self.session = self.cluster.connect(target_session_attrs="read-write")
                    self.port = self.session.info.port
                return call(self.session), lost
            except psycopg.OperationalError:
                # Attempts to connect count once: no server accepts writes meanwhile.
                lost += self.session is not None
                if self.session is not None:
                    self.session.close()
                    self.session = None
                time.sleep(0.05)


def under_load(cluster: Cluster, report: Report) -> None:
    """switch-overs under load"""
    stop = threading.Event()
    gateways = [Gateway(cluster, stop) for _ in range(SESSIONS)]
    for gateway in gateways:
        gateway.start()
    begun = time.monotonic()
    times = []
    try:
        for _ in range(SWITCHOVERS):
            time.sleep(3)
            asked = time.monotonic()
            cluster.switch_over()
            times.append(asked)
        time.sleep(3)
    finally:
        stop.set()
        for gateway in gateways:
            gateway.join(60)
    seconds = time.monotonic() - begun
    counts = sum((gateway.counts for gateway in gateways), Counter())
    violations = [violation for gateway in gateways for violation in gateway.violations]
    # The longest time without a login after each request for a switch-over.
    finished = sorted(moment for gateway in gateways for moment in gateway.finished_at)
    gaps = [max((b - a for a, b in zip(finished, finished[1:]) if asked - 1 < a < asked + 30), default=30) for asked in times]
    report.row("switch-overs, sessions, seconds", f"{len(times)}, {SESSIONS}, {seconds:.0f}", len(times) == SWITCHOVERS)
    report.row("exchanges", counts["exchanges"], counts["exchanges"] > 0)
    report.row("of these repeated, because the connection was lost in a call", counts["repeated"])
    report.row("of these started on one node and finished on another", counts["moved"])
    report.row("right password: accepted, refused", (counts["right, accepted"], counts["right, REFUSED"]),
               counts["right, accepted"] > 0 == counts["right, REFUSED"])
    report.row("wrong password: refused, accepted", (counts["wrong, refused"], counts["wrong, ACCEPTED"]),
               counts["wrong, refused"] > 0 == counts["wrong, ACCEPTED"])
    report.row("other errors", violations[:3] or "none", not violations)
    report.row("seconds without a login at a switch-over: shortest, longest", f"{min(gaps):.1f}, {max(gaps):.1f}")
    if cluster.has_cron:
        twice = "SELECT count(*) FROM (SELECT FROM tick GROUP BY date_trunc('minute', at) HAVING count(*) > 1) t"
        primary = cluster.primary()
        report.row("minutes in which the job ran, nodes on which it ran", cluster.query(
            primary, "SELECT count(DISTINCT date_trunc('minute', at)), count(DISTINCT port) FROM tick")[0])
        report.equal("minutes in which the job ran twice, with all switch-overs", cluster.value(primary, twice), 0)
