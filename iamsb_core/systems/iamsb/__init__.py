"""IaMSB, the inconsistency-aware multimodal Schroedinger bridge (CVPR 2026), clean-room from the paper's text.

t = 0 is the interval prior nu_0, t = 1 the observation-aligned posterior nu_1. Segments are shares of the clip's
duration inside, seconds outside. "Ours" is what the paper leaves open.

| Paper | Here |
| --- | --- |
| SB as stochastic control, dZ = u dt + sigma dW | `bridge.reference`, `bridge.propagator`, `bridge.gaussian` |
| control energy E(Q) = E int ||u||^2 / (2 sigma^2) dt | `bridge.energy.control_energy`, `StepTrace.energy` |
| reachability S*(eps) | `bridge.energy.steps_to_reach`, `evidence.discrepancies` |
| features F^a, F^v to keys and values (neck: ours, of both streams) | `neck.StreamNeck` |
| nu_0, sparse interval prior (seeds: ours) | `coarse.IntervalPrior`, `dense.seeds` |
| CSB: Z + Delta u_c(LN(Z + MHA(Z, F, F))) | `coarse.CoarseBridge.step` |
| task heads (s, l, pi), gradient cut | `heads.TaskHeads`, `QueryState.detached` |
| cost c_pq | `witness.CouplingCost` |
| Pi = argmin <Pi, C> + sum Pi log Pi, one iteration | `bridge.coupling.entropic_coupling` |
| Phi_w = [R, T, U, H, C] | `witness.coupling_statistics` |
| directional scores S_{a|v}, S_{v|a} | `witness.DirectionalScorer` |
| (w_a, w_v) from scores and energies | `witness.WitnessBridge` |
| S_r^m = 2 floor(w S_tgt / 2 + 1/2), N^m likewise | `budget.share_evenly` |
| selection without replacement by row and column sums | `selection.select` |
| top-k witnesses P^m | `witness.Witnesses`, `StreamNetwork.witness_memory` |
| RSB: R_wit[n] = MHA(U[n], P[n], P[n]), step 1 / S_r^m | `refinement.RefinementBridge.step` |
| L_loc (matching, negatives, coverage) | `losses.location_per_step`, `matching.match` |
| L_rank | `losses.rank_loss` |
| L_svn | `losses.worsening`, `losses.imbalance`, weighted by `losses.budget_shares` |
| total loss | `objective.total_loss` |
| decoding and cross-modal fusion | `proposals.clip_proposals` |
| ablation table | `config.ablations` |
| GFLOPs of each bridge | `cost.count_cost` |

Importing the package registers the system under the name `iamsb`.
"""

from iamsb_core.systems.iamsb.config import PRESETS, IamsbConfig, ablations, compact, paper
from iamsb_core.systems.iamsb.system import Iamsb

__all__ = ["PRESETS", "Iamsb", "IamsbConfig", "ablations", "compact", "paper"]
