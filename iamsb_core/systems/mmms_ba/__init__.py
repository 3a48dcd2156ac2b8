"""MMMS-BA: multi-modal multi-sequence bi-modal attention (Katamneni and Rattani, arXiv 2408.01532), re-stated.

| paper | here |
|---|---|
| Bi-GRU, dropout, dense layer with tanh for each modality | `system.Sequence` |
| matching matrices V-L, L-A, A-V, softmax over sequences, gating | `attention.bimodal`, `attention.gated` |
| MMUS-SA and MS-SA | `attention.across`, `attention.within` |
| residual concatenation | `system.MmmsBa.forward` |
| focal loss and differentiable IoU loss | `iamsb_core.systems.pyramid.losses` |
| lip sequences | the mouth's crop as the visual encoder's second track: `iamsb_core.encoders.lips` |

A "sequence" of the paper is a cell of the picture's grid here. The published code has no localisation head that the
paper's losses could train, so the head is the pyramid's at one level.
"""

from iamsb_core.systems.mmms_ba.config import MmmsBaConfig
from iamsb_core.systems.mmms_ba.system import MmmsBa

__all__ = ["MmmsBa", "MmmsBaConfig"]
