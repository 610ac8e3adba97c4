"""For tests of integrations: time that is turned by hand, vendors that are made up, faults by plan, and processes that die.

    clock = ManualClock()
    shop = FakeSystem("shop", clock, Collection("orders", changed_since="time"))
    network = Network(clock, shop)
    network.strike(UNANSWERED, system="shop", method="POST")

Nothing in tieline needs it.
"""

from tieline.testing.clock import ManualClock, Stuck, VirtualLoop
from tieline.testing.collection import Collection, Refusal, Written
from tieline.testing.faults import LOST, REFUSED, UNANSWERED, Fault, Weather, answering, error, garbled, mistaken, slow, throttled
from tieline.testing.network import Connected, Exchange, Network
from tieline.testing.process import Crash, Process, SimulatedDatabase
from tieline.testing.vendor import FakeSystem, Headers

__all__ = [
    "LOST",
    "REFUSED",
    "UNANSWERED",
    "Collection",
    "Connected",
    "Crash",
    "Exchange",
    "FakeSystem",
    "Fault",
    "Headers",
    "ManualClock",
    "Network",
    "Process",
    "Refusal",
    "SimulatedDatabase",
    "Stuck",
    "VirtualLoop",
    "Weather",
    "Written",
    "answering",
    "error",
    "garbled",
    "mistaken",
    "slow",
    "throttled",
]
