"""A boundary-matching system of the BA-TFD+ family (Cai et al., CVIU 2023), re-stated clean-room for cached features.

| published | here |
|---|---|
| video and audio encoders, trained | the frozen encoders' features through `system.StreamEncoder` |
| boundary-matching layer: a dense weight of T x (N D T) | `maps.sampling_matrix`: a window per duration, linear in T |
| proposal relation block; maps p, c, pc averaged | `maps.BoundaryMap`: attention over durations and over channels |
| fusion by per-duration sigmoid weights | `system.BaTfdPlus.forward` |
| MSE of maps, frame BCE, contrast with margin .99 | `losses` |
| soft-NMS by width | `iamsb_core.localization.nms` with LAV-DF's constants |

Attention is over the durations of one start, where the published block also attends over starts: quadratic in T.
"""

from iamsb_core.systems.ba_tfd_plus.config import BaTfdConfig
from iamsb_core.systems.ba_tfd_plus.system import BaTfdPlus

__all__ = ["BaTfdConfig", "BaTfdPlus"]
