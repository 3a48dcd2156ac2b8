"""The dense localiser: a multi-scale windowed transformer of the ActionFormer family, the rival to compare with.

Re-stated from the papers: ActionFormer (Zhang, Wu, Li, ECCV 2022) for the pyramid, centre sampling and decoding,
focal loss (Lin et al. 2017), DIoU (Zheng et al. 2020), soft-NMS (Bodla et al. 2017), and for audio-visual input the
reading of both streams at once, as UMMAFormer does it.

| Part | Here |
| --- | --- |
| features of both streams on one stream's clock | `network.StreamLocalizer` |
| convolutional embedding, stem, halving branch | `network.Trunk` |
| attention within windows | `pyramid.attention.LocalAttention` |
| classification and regression at every level | `pyramid.heads.DualHead` |
| centre sampling, ranges of levels | `pyramid.targets.dense_targets` |
| focal and DIoU / GIoU losses | `pyramid.losses` |
| soft-NMS, voting, fusion | `pyramid.decoding` |

Importing the package registers the system under the name `dense-localizer`.
"""

from iamsb_core.systems.dense_localizer.config import PRESETS, DenseLocalizerConfig, compact, paper
from iamsb_core.systems.dense_localizer.system import DenseLocalizer

__all__ = ["PRESETS", "DenseLocalizer", "DenseLocalizerConfig", "compact", "paper"]
