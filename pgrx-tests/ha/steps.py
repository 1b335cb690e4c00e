"""The steps before the load: each starts with a primary and two standbys, and ends with them."""

import itertools
import re
import threading
import time
from collections import Counter

import psycopg
from cluster import Cluster, Node, until
from exchange import Exchange
from report import Report

PASSWORD = "Zq8-right"
USERS = {"account": "ann", "role": "app"}
# Words that are no password: work for some seconds.
WORDS = 4000
ROLES = 30
# What a standby refuses.
WRITES = (
    "CALL scram.run_audit()",
    "SELECT scram.set_role_password('app', 'Zq8-other')",
    "SELECT scram.rotate_role('app')",
    "SELECT * FROM scram.fleet_refresh()",
)


def prepare(cluster: Cluster, report: Report) -> None:
    """three nodes run: extension, users, roles"""
    primary = cluster.primary()
    with cluster.connect(primary) as session:
        session.execute("CREATE EXTENSION scram_ext")
        session.execute("CREATE TABLE account (name text PRIMARY KEY, secret scram.verifier NOT NULL)")
        session.execute("INSERT INTO account VALUES ('ann', scram.generate(%s))", [PASSWORD])
        session.execute("CREATE ROLE app LOGIN")
        session.execute("SELECT scram.set_role_password('app', %s)", [PASSWORD])
        session.execute("CREATE ROLE weak LOGIN PASSWORD 'weak'")
    cluster.catch_up()
    patroni = primary.status()["patroni"]["version"]
    report.row("PostgreSQL, Patroni, nodes", f"{cluster.value(primary, 'SHOW server_version')}, {patroni}, {len(cluster.nodes)}")


def finish_everywhere(cluster: Cluster, exchanges: list[Exchange]) -> Counter:
    """Each exchange is finished on each node: how often the decision was right, and how often not."""
    decisions = Counter()
    for node in cluster.nodes:
        with cluster.connect(node) as session:
            decisions.update(exchange.finish(session) == (exchange.password == PASSWORD) for exchange in exchanges)
    return decisions


def start_everywhere(cluster: Cluster) -> list[Exchange]:
    """Right and wrong passwords of a user and a role, on each node."""
    exchanges = []
    for node in cluster.nodes:
        with cluster.connect(node) as session:
            for kind, password in itertools.product(USERS, (PASSWORD, "Zq8-wrong")):
                exchanges.append(Exchange(kind, USERS[kind], password))
                exchanges[-1].start(session)
    return exchanges


def handshakes(cluster: Cluster, report: Report) -> None:
    """handshakes that are finished on another node, and after a switch-over"""
    exchanges = start_everywhere(cluster)
    report.equal("started on each node, finished on each: right decisions",
                 finish_everywhere(cluster, exchanges)[True], 3 * len(exchanges))
    exchanges = start_everywhere(cluster)
    cluster.switch_over()
    report.equal("the same with a switch-over between: right decisions",
                 finish_everywhere(cluster, exchanges)[True], 3 * len(exchanges))


def standbys(cluster: Cluster, report: Report) -> None:
    """audit() and verify_role() on standbys"""
    findings = "SELECT source, subject, check_id, severity FROM scram.audit() ORDER BY 1, 2, 3"
    on_primary = cluster.query(cluster.primary(), findings)
    report.row("findings of audit() on the primary", len(on_primary), ("role", "weak", "password_is_name", "critical") in on_primary)
    for node in cluster.standbys():
        seen = cluster.query(node, findings)
        differences = set(seen) ^ set(on_primary)
        report.row(f"findings of audit() on standby {node.name}", f"{len(seen)}, others than the primary's: {differences or 'none'}",
                   not differences)
        verified = cluster.query(node, "SELECT scram.verify_role('app', %s), scram.verify_role('app', 'Zq8-wrong')", [PASSWORD])
        report.equal(f"verify_role on standby {node.name}: right, wrong", verified[0], (True, False))
        for call in WRITES:
            report.equal(f"{call.split('(')[0].split('.')[1]} on standby {node.name}", sqlstate(cluster, node, call), "25006")


def sqlstate(cluster: Cluster, node: Node, sql: str) -> str:
    try:
        with cluster.connect(node) as session:
            session.execute(sql)
        return "no error"
    except psycopg.Error as error:
        return str(error.sqlstate)


def statuses(cluster: Cluster, run: int) -> list[str]:
    """What each node shows of a run, the primary first."""
    cluster.catch_up()
    nodes = [cluster.primary(), *cluster.standbys()]
    return [cluster.value(node, "SELECT status FROM scram.audit_run WHERE run_id = %s", [run]) for node in nodes]


def tested(cluster: Cluster, node: Node) -> tuple[int, int]:
    """How many passwords the runs say that they tried, and how many the secrets remember."""
    return cluster.query(node, """
        SELECT (SELECT sum(candidates_tested)::bigint FROM scram.audit_run),
               (SELECT sum(CASE WHEN t.guess_version > 0 THEN t.by_name ELSE 0 END
                    + (SELECT count(*) FROM scram_internal.candidate w WHERE w.word_id <= t.last_word_id))::bigint
                FROM scram_internal.stored_secret t WHERE t.by_name > 0)""")[0]


def interrupted_run(cluster: Cluster, report: Report) -> None:
    """a run that a switch-over cuts off, and the next one"""
    with cluster.connect(cluster.primary()) as session:
        for i in range(ROLES):
            session.execute(f"CREATE ROLE r{i} LOGIN PASSWORD 'Zq8-unlike-{i}'")
        session.execute("INSERT INTO scram.wordlist SELECT 'Zq8-word' || i FROM generate_series(1, %s) i", [WORDS])
    errors = []

    def run() -> None:
        try:
            with cluster.connect(cluster.primary()) as session:
                session.execute("CALL scram.run_audit()")
        except psycopg.Error as error:
            errors.append(error.sqlstate or type(error).__name__)

    thread = threading.Thread(target=run)
    thread.start()
    last = "SELECT run_id FROM scram.audit_run WHERE candidates_tested > 1000 ORDER BY run_id DESC LIMIT 1"
    old = cluster.primary()
    cut = until("the run tries passwords", lambda: (cluster.query(old, last) or [(None,)])[0][0])
    report.equal("a run in progress, on the primary and the standbys", statuses(cluster, cut), ["running"] * 3)
    new = cluster.switch_over()
    thread.join()
    report.row("error of the session that ran it", errors, bool(errors))
    seen = statuses(cluster, cut)
    report.row("that run after the switch-over, on the new primary", seen[0], seen[0] == "interrupted")
    # A standby does not see the sessions of its primary: docs/ha.md.
    report.equal("that run on the standbys, until the next one begins", seen[1:], ["running"] * 2)
    sums = tested(cluster, new)
    report.row("passwords that it tried: in its row, remembered", sums, sums[0] == sums[1] > 0)
    cluster.query(new, "CALL scram.run_audit()")
    after = cluster.query(new, "SELECT status, candidates_tested, candidates_left FROM scram.audit_run ORDER BY run_id DESC LIMIT 1")[0]
    report.row("next run, on the new primary: status, tried, left", after, after[0] == "done" and after[2] == 0)
    total, remembered = tested(cluster, new)
    everything = cluster.value(new, """SELECT sum(t.by_name + (SELECT count(*) FROM scram_internal.candidate))::bigint
        FROM scram_internal.stored_secret t WHERE t.by_name > 0""")
    report.row("both runs together, remembered, every password once", (total, remembered, everything), total == remembered == everything)
    report.equal("the cut run after the next one, on the primary and the standbys", statuses(cluster, cut), ["interrupted"] * 3)
    twice = "SELECT count(*) FROM (SELECT FROM scram.audit_finding GROUP BY source, subject, check_id HAVING count(*) > 1) t"
    report.equal("findings stored twice", cluster.value(new, twice), 0)
    counts = "SELECT count(*), count(*) FILTER (WHERE status = 'open') FROM scram.audit_finding"
    cluster.catch_up()
    report.equal("different numbers of stored and open findings on the nodes", len({str(cluster.query(n, counts)) for n in cluster.nodes}) - 1, 0)


def jobs(cluster: Cluster, report: Report) -> None:
    """jobs of pg_cron"""
    if not cluster.has_cron:
        report.row("pg_cron", "is not installed")
        return
    primary = cluster.primary()
    with cluster.connect(primary) as session:
        session.execute("CREATE EXTENSION pg_cron")
        session.execute("CREATE TABLE tick (at timestamptz DEFAULT now(), port int DEFAULT current_setting('port')::int)")
        session.execute("SELECT cron.schedule('tick', '* * * * *', 'INSERT INTO tick DEFAULT VALUES')")
        session.execute("SELECT scram.schedule_audit('* * * * *')")
    for primary in (primary, None):
        primary = primary or cluster.switch_over()
        begun = cluster.value(primary, "SELECT now()")
        before = cluster.value(primary, "SELECT coalesce(max(run_id), 0) FROM scram.audit_run")
        logs = {node.name: node.log.stat().st_size for node in cluster.nodes}
        ports = "SELECT array_agg(DISTINCT port) FROM tick WHERE at > %s"
        until("a minute's job", lambda: cluster.value(primary, ports, [begun]), 100)
        audits = "SELECT count(*) FROM scram.audit_run WHERE run_id > %s AND status = 'done'"
        until("a minute's audit", lambda: cluster.value(primary, audits, [before]), 30)
        time.sleep(2)
        ran_on = [node.name for node in cluster.nodes if node.port in cluster.value(primary, ports, [begun])]
        report.equal(f"minute's job while {primary.name} is the primary: ran on", ran_on, [primary.name])
        started = {node: len(re.findall(r"cron job \d+ starting", node.log.read_text(errors="replace")[logs[node.name]:]))
                   for node in cluster.nodes}
        on_primary = started.pop(primary)
        report.row("jobs started in the primary's log, in the standbys'", (on_primary, sum(started.values())),
                   on_primary > 0 == sum(started.values()))
    twice = "SELECT count(*) FROM (SELECT FROM tick GROUP BY date_trunc('minute', at) HAVING count(*) > 1) t"
    report.equal("minutes in which the job ran twice", cluster.value(cluster.primary(), twice), 0)
