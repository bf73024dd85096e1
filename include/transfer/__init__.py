"""Transfer: any tables of one Postgres to another, whole, once, verified, at the speed of the two servers.

It knows nothing of this project's datasets, needs nothing installed in the source and only the right to read there.
"""

from include.transfer.audit import ensure_audit, forget, summary
from include.transfer.model import (
    SnapshotLostError,
    TablePlan,
    TransferError,
    TransferInterruptedError,
    TransferRefusedError,
    TransferResult,
)
from include.transfer.move import transfer_table
from include.transfer.planning import plan, read_modes, selected
from include.transfer.snapshot import held_snapshot, hold_snapshot, release_snapshot, shared_snapshot

__all__ = [
    "SnapshotLostError",
    "TablePlan",
    "TransferError",
    "TransferInterruptedError",
    "TransferRefusedError",
    "TransferResult",
    "ensure_audit",
    "forget",
    "held_snapshot",
    "hold_snapshot",
    "plan",
    "read_modes",
    "release_snapshot",
    "selected",
    "shared_snapshot",
    "summary",
    "transfer_table",
]
