"""Real brokers, processes and faults for tests of the project and of plug-ins."""

from tocsin.testing.brokers import INGESTER, throwaway_broker
from tocsin.testing.processes import Process, run_process
from tocsin.testing.proxy import FaultProxy
from tocsin.testing.waiting import free_port, wait_until, wait_until_sync

__all__ = [
    "INGESTER",
    "FaultProxy",
    "Process",
    "free_port",
    "run_process",
    "throwaway_broker",
    "wait_until",
    "wait_until_sync",
]
