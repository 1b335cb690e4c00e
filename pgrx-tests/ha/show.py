"""What the extension does on standbys and across switch-overs. Called by tools/ha.sh with a folder, in which everything
is put, and PostgreSQL's folders of programs and of shared files. Exit status 1 if anything is not as it must be."""

import signal
import sys
import time
from pathlib import Path

import steps
from cluster import Cluster
from load import under_load
from report import Report


def main(folder: str, bin_dir: str, share_dir: str) -> int:
    # An exception, so that what has been started is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    has_cron = (Path(share_dir) / "extension/pg_cron.control").exists()
    cluster = Cluster(Path(folder), bin_dir, has_cron)
    report = Report()
    begun = time.monotonic()
    try:
        cluster.start()
        for step in (steps.prepare, steps.handshakes, steps.standbys, steps.interrupted_run, steps.jobs, under_load):
            print(f"{time.monotonic() - begun:5.0f} s: {step.__doc__.splitlines()[0]}", flush=True)
            step(cluster, report)
    except BaseException:
        for log in Path(folder).glob("*.log"):
            print(f"==> {log.name}", *log.read_text(errors="replace").splitlines()[-15:], sep="\n", file=sys.stderr)
        raise
    finally:
        cluster.stop()
        report.print()
    print(f"{cluster.switchovers} switch-overs, {time.monotonic() - begun:.0f} seconds, {report.failed} failures")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
