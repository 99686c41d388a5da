"""What a row of the table is: a case that is played, the figures that it gives, and what each may be."""

import contextlib
import dataclasses
import math


class Impossible(Exception):
    """This machine cannot do the row."""


@dataclasses.dataclass(frozen=True)
class Figure:
    """One line of the table. `most` bounds ours: a number, or the name of another figure of the row."""

    name: str
    unit: str = ""
    most: float | str | None = None
    least: float | None = None

    def write(self, value):
        """As people read it; infinite is what never came."""
        if value is None or math.isnan(value):
            return "–"
        if math.isinf(value):
            return "never"
        if self.unit == "%":
            return f"{100 * value:.1f} %"
        if self.unit == "ms":
            return f"{1000 * value:.1f} ms"
        if self.unit == "s":
            return f"{value:.2f} s"
        return f"{value:,.0f}" if value == int(value) else f"{value:,.1f}"

    def bound(self):
        if isinstance(self.most, str):
            return f"≤ {self.most}"
        if self.most == self.least:
            return "–" if self.most is None else self.write(self.most)
        limits = [("≥", self.least), ("≤", self.most)]
        return " and ".join(f"{sign} {self.write(limit)}" for sign, limit in limits if limit is not None)

    def missed(self, figures):
        """Whether these figures of ours are out of bounds."""
        value = figures[self.name]
        most = figures[self.most] if isinstance(self.most, str) else self.most
        return (most is not None and not value <= most) or (self.least is not None and not value >= self.least)


class Row:
    """A case. A row is one class in one file of `rows`, and stands in `rows.ROWS`."""

    key = ""  # for --only
    title = ""
    figures = ()
    turns = False  # whether the policy is round_robin
    route = ""  # more keys of our route
    without = ()  # columns in which it makes no sense, or whose gateway cannot do it
    alone = False  # whether it needs a world of its own

    async def play(self, world):
        """The figures by their names. It leaves the world as it was."""
        raise NotImplementedError

    @contextlib.contextmanager
    def place(self):
        """Where the first backends are, if not here: their addresses, each with what its command begins with."""
        yield ()
