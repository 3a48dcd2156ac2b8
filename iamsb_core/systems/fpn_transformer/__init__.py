"""FPN-Transformer (Zheng et al., arXiv 2511.08031, IJCAI'25 DDL-AV), clean-room from the paper's text and known facts.

| Paper | Here |
| --- | --- |
| masked temporal-difference convolution, theta = 0.6 | `difference.TemporalDifferenceConv` |
| R-TLM block: recurrence, local attention, MLP | `blocks.RecurrentBlock` |
| localised attention masking | `pyramid.attention.LocalAttention` |
| strided depthwise convolutions, 5-level pyramid | `pyramid.blocks.ConvolutionalAttention`, `network.StreamModel` |
| feature pyramid, top down | `pyramid.top_down.TopDown` |
| dual-branch head | `pyramid.heads.DualHead` |
| focal loss, DIoU loss | `pyramid.losses` |
| NMS, segment voting | `pyramid.decoding` |
| audio and video models, joint scoring | `system.FpnTransformer`, `config.published` |
| 3 epochs of a schedule with 5 of warm-up | `system.FpnTransformer.schedules` |

The paper says that attention is localised and that the pyramid has 5 levels; the published code attends to the whole
clip on 6. `paper` is the paper's, `published` the code's. Importing the package registers `fpn-transformer`.
"""

from iamsb_core.systems.fpn_transformer.config import PRESETS, FpnTransformerConfig, compact, paper, published
from iamsb_core.systems.fpn_transformer.system import FpnTransformer

__all__ = ["PRESETS", "FpnTransformer", "FpnTransformerConfig", "compact", "paper", "published"]
