"""Systems: what can be trained, each behind one contract; importing this package registers them all."""

from iamsb_core.systems import ba_tfd_plus, dense_localizer, fpn_transformer, iamsb, macb_df, mmms_ba, ummaformer

__all__ = ["ba_tfd_plus", "dense_localizer", "fpn_transformer", "iamsb", "macb_df", "mmms_ba", "ummaformer"]
