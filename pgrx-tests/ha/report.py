"""The table at the end."""


class Report:
    def __init__(self):
        self.rows: list[tuple[str, str, str]] = []
        self.failed = 0

    def row(self, what: str, seen, ok: bool | None = None) -> None:
        """A line of the table; with `ok` it is a check, otherwise a figure."""
        self.failed += ok is False
        self.rows.append((what, str(seen), {None: "", True: "ok", False: "FAILED"}[ok]))

    def equal(self, what: str, seen, expected) -> None:
        ok = seen == expected
        self.row(what, seen if ok else f"{seen} instead of {expected}", ok)

    def print(self) -> None:
        widths = [max((len(row[column]) for row in self.rows), default=0) for column in (0, 1)]
        for what, seen, ok in self.rows:
            print(f"{what:{widths[0]}} | {seen:{widths[1]}} | {ok}".rstrip())
