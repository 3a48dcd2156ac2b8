"""MACB-DF: the multiscale adaptive conflict-balancing model (Xiong et al., arXiv 2505.12966), re-stated.

No code of it was published and the paper leaves most sizes open; what is ours is said in `config`.

| paper | here |
|---|---|
| MACL: adaptive-temperature contrastive alignment (mechanism 1) | `contrast.contrastive_loss`, `AdaptiveTemperature` |
| cluster-aware weights: Mahalanobis + cosine, attention (mechanism 2) | `clusters.Clusters`, `FusionWeights` |
| OM-Pareto: orthogonalised, Pareto-weighed gradients (mechanism 3) | `pareto.combine`, `system.MacbDf.backward` |
| MSTLKA / MFTLKA: multi-scale large-kernel attention | `large_kernel.temporal_block`, `band_block` |
| multi-scale fusion: shallow fused features guide deep ones | `streams.Stage`, `streams.Fusion` |
| frame-level and sample-level BCE | `losses.head_losses` |
| segments out of frame scores (ours: the paper only classifies) | `iamsb_core.localization.frame_segments` |
"""

from iamsb_core.systems.macb_df.config import MacbConfig
from iamsb_core.systems.macb_df.system import MacbDf

__all__ = ["MacbConfig", "MacbDf"]
