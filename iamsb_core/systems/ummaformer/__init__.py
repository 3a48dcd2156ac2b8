"""UMMAFormer (Zhang et al., ACM MM 2023), re-stated clean-room from its paper and published facts.

| Paper | Here |
| --- | --- |
| features of both modalities on one clock, concatenated | `clock.on_one_clock` |
| feature reconstruction, trained on real clips | `reconstruction.Interpolator`, `UmmaFormer.own_terms` |
| temporal feature abnormal attention: Q x, K reconstruction, V x | `reconstruction.AbnormalAttention` |
| windowed transformer pyramid | `pyramid.trunk.Trunk`'s blocks |
| parallel cross-attention feature pyramid network | `cross_levels.CrossLevels`, `pyramid.top_down.TopDown` |
| focal, 2 DIoU, reconstruction, 0.1 real or fake | `pyramid.losses`, `UmmaFormer.own_terms` |

Ours: the clock is the finer stream's and not 768 steps a clip, which would tie time resolution to the clip's length;
the reconstruction is of standardised features and its gradient is cut, so that nothing but real clips trains it; and
each stream has a head of its own over the joint pyramid, since the paper's single list does not say which stream is
forged. Importing the package registers the system under the name `ummaformer`.
"""

from iamsb_core.systems.ummaformer.config import PRESETS, UmmaFormerConfig, compact, paper
from iamsb_core.systems.ummaformer.system import UmmaFormer

__all__ = ["PRESETS", "UmmaFormer", "UmmaFormerConfig", "compact", "paper"]
