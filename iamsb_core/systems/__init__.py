"""Systems: what can be trained, each behind one contract; importing this package registers them all."""

from iamsb_core.systems import dense_localizer, fpn_transformer, iamsb, macb_df, ummaformer

__all__ = ["dense_localizer", "fpn_transformer", "iamsb", "macb_df", "ummaformer"]
