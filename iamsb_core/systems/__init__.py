"""Systems: what can be trained, each behind one contract; importing this package registers them all."""

from iamsb_core.systems import iamsb

__all__ = ["iamsb"]
