"""The rows of the table, in its order."""

from rows.blackhole import BlackHole
from rows.changes import Reloads, Restart, Weights
from rows.deadline import Deadline
from rows.freeze import Freeze, FreezeByTurns
from rows.idle import Idle
from rows.kill import Kill
from rows.method import Method
from rows.retries import RETRIES
from rows.slow import Slow
from rows.streams import Streams
from rows.unavailable import UNAVAILABLE
from rows.uploads import Uploads

ROWS = [Kill(), Freeze(), FreezeByTurns(), Slow(), *UNAVAILABLE, Restart(), Reloads(), Weights(), Deadline(), Streams(),
        BlackHole(), Method(), *RETRIES, Uploads()]
ROWS.append(Idle(ROWS))
