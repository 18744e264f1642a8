"""What is measured of every system."""

from dataclasses import dataclass

MIB = 1 << 20
WORD = "NOTHING!"  # the tiny value that goes through a chain; in capitals, so that it comes out as it went in
CHAINS = (1, 2, 3, 5)  # stages, one request at a time
RATES = (1, 3, 5)  # stages, ABREAST requests at once
ABREAST = 64
HANDED = (1, 16, 64)  # MiB from one process to another
WARM_HAND = 10


class Missing(Exception):
    """Why a system cannot be measured."""


@dataclass
class Counts:
    """How many requests of each kind."""

    warm: int
    one: int
    many: int
    hand: int


FULL = Counts(warm=200, one=2000, many=20000, hand=50)
QUICK = Counts(warm=20, one=200, many=1000, hand=5)
