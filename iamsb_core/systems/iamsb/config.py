"""What IaMSB is made of: nested frozen dataclasses, the paper's values as defaults, and named experiments.

"Ours" marks what the paper leaves open. Widths are in features, windows in cells or seconds as their names say.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class NeckConfig:
    """The temporal neck (ours): linear in the number of cells, full resolution kept."""

    num_embedding_layers: int = 2
    """convolutions of three cells between the features and the blocks; the first sees features change in time, and a
    linear map in its place loses three points of AP at any threshold"""
    cross_modal: bool = True
    """a stream's neck also reads the other stream's features, on its own clock"""
    cross_modal_drop: float = 0.4
    """share of the clips in training that do without them, so that a stream is not lost without the other"""
    num_blocks: int = 2
    expansion: int = 2
    """hidden width of a block's feed-forward part, as a multiple of the model's"""
    kernel_cells: int = 7
    window_cells: int = 16
    """block length of the windowed attention, even; a cell sees its own block and half of both neighbours"""
    edge_dim: int = 24
    """width of the features that are sampled around boundaries"""
    feature_masking: float = 0.1
    """share of feature dims zeroed per clip in training"""
    dropout: float = 0.1
    """share of embedded channels zeroed per clip, and of blocks skipped per clip, in training"""


@dataclass(frozen=True, kw_only=True)
class CoarseConfig:
    """The coarse bridge (CSB)."""

    num_queries: int = 100
    """N_ev of each stream: the benchmark's largest recall budget"""
    num_steps: int = 2
    """S_c"""
    sigma: float = 1.0
    """scale of the reference process in the control energy"""
    prior_noise: float = 0.1
    """scale of the Gaussian noise on the initial latents in training, as a multiple of sigma"""
    seeded_share: float = 0.4
    """share of the queries whose initial segment and latent come from the dense head; the rest are learned (ours)"""
    seed_sigma: float = 0.3
    """how far a seed suppresses its neighbours: exp(-tiou^2 / seed_sigma)"""
    reference_jitter: float = 0.15
    """noise on the boundaries of seeds in training, as a share of their length"""
    edge_points: int = 9
    """sampled positions around each boundary"""
    window_cells: float = 2.0
    window_share: float = 0.5
    """half-window around a boundary: window_cells and this share of the segment's length"""
    hidden_multiple: int = 2


@dataclass(frozen=True, kw_only=True)
class WitnessConfig:
    """The witness bridge (WSB)."""

    num_iterations: int = 1
    """Sinkhorn iterations"""
    epsilon: float = 1.0
    """entropic weight; the paper's objective has 1"""
    num_witnesses: int = 16
    """top-k of each row of the coupling"""
    row_mass: float = 1.0
    """a query keeps only the first of its k that together hold this share of its row; 1: all of them (ours)"""
    hidden_dim: int = 64
    start_weight: float = 5.0
    """initial lambda_t"""
    length_weight: float = 5.0
    """initial lambda_l"""
    overlap_weight: float = 2.0
    """initial lambda_o"""
    confidence_weight: float = 1.0
    """initial lambda_pi"""


@dataclass(frozen=True, kw_only=True)
class BudgetConfig:
    """What the witness bridge shares out between the streams."""

    num_steps: int = 12
    """S_tgt, the sum over both streams; 0: nothing is refined, every coarse segment is a result"""
    step_floor: int = 2
    query_floor: int = 2
    allocation: Literal["witness", "even"] = "witness"
    """even: both streams get the same, whatever the witness bridge says of them"""
    quiet_probability: float = 0.0
    """at inference a clip takes its floor of steps alone where, after the coarse bridge, its forged probability is
    below this; 0: every clip takes S_tgt (ours)"""


@dataclass(frozen=True, kw_only=True)
class RefinementConfig:
    """The refinement bridge (RSB)."""

    edge_points: int = 9
    first_window_cells: float = 4.0
    last_window_cells: float = 1.5
    """half-window around a boundary in the first and the last step, on the main track"""
    first_window_share: float = 0.2
    last_window_share: float = 0.0
    """what is added to it, as a share of the segment's length"""
    fine_points: int = 17
    first_fine_window_seconds: float = 0.08
    last_fine_window_seconds: float = 0.02
    """the same on the fine track, for a stream that has one"""
    fine_dim: int = 24
    hidden_multiple: int = 4
    reference_jitter: float = 0.05
    """noise on the boundaries that enter the first step in training, as a share of the segment's length"""


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """Weights and shapes of section 6 of the paper's losses, and of the dense head's."""

    rank_weight: float = 0.2
    step_value_weight: float = 0.2
    dense_weight: float = 1.0
    """ours: the dense per-cell head"""
    calibration_weight: float = 0.1
    """ours: the two scalars that turn a stream's best confidence into a probability"""
    forged_lead: float = 0.8
    """b_a - b_v that L_svn wants where the sound alone is forged: 0.8 is b = (0.9, 0.1), steps shared 3 to 1. The 0.5
    of the first reading wants w = 0.634, so that no training could give the forged stream 65 % of the steps"""
    coverage_beta: float = 5.0
    rank_margin: float = 0.5
    """m_0"""
    huber_delta: float = 0.1
    huber_weight: float = 1.0
    focal_gamma: float = 2.0
    """0 is plain BCE"""
    focal_alpha: float | None = None
    """weight of positives, 1 - alpha of negatives; None leaves both at 1"""
    quality_target: bool = True
    """a matched confidence is trained towards its tiou; False: towards 1, as the paper prints it"""
    auxiliary_tiou: float = 0.3
    """queries that start a step with at least this tiou are refined too, matched or not; above 1: none (ours)"""
    auxiliary_weight: float = 1.0
    boundary_sigma_cells: float = 1.0
    """width of the dense head's boundary targets"""
    class_cost: float = 2.0
    l1_cost: float = 5.0
    tiou_cost: float = 2.0
    """weights of the Hungarian matching"""


@dataclass(frozen=True, kw_only=True)
class OutputConfig:
    """From segments to proposals."""

    nms_sigma: float = 0.5
    fusion_sigma: float = 0.5
    evidence_weight: float = 0.5
    """share of the dense head in a score: confidence ** (1 - weight) * (inside * edges) ** weight, where its mean
    forged probability inside and its boundary probabilities at the two ends speak; 0 leaves confidences alone (ours:
    queries know a few people by heart sooner than cells do, see docs/iamsb-experiments.md)"""
    ranking: Literal["fitted", "pooled"] = "fitted"
    """fitted: by what a dev split says of confidence, evidence and length, where there was one; pooled: by
    evidence_weight alone (ours)"""
    unselected_scale: float = 0.5
    """what a coarse segment's score is multiplied by when its query was not refined"""
    num_fused: int = 100
    num_evidence: int = 3
    """proposals of each stream whose witnesses are reported"""
    reach_tolerance: float = 0.05
    """epsilon of S*(epsilon)"""


@dataclass(frozen=True, kw_only=True)
class IamsbConfig:
    """The whole system. Raises ValueError for what cannot be built."""

    dim: int = 256
    num_heads: int = 8
    neck: NeckConfig = field(default_factory=NeckConfig)
    coarse: CoarseConfig = field(default_factory=CoarseConfig)
    witness: WitnessConfig = field(default_factory=WitnessConfig)
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    refinement: RefinementConfig = field(default_factory=RefinementConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    output: OutputConfig = field(default_factory=OutputConfig)
    use_coarse: bool = True
    """False: learned priors go to the other bridges as they are (the paper's "no CSB")"""
    use_witness: bool = True
    """False: no coupling, no witnesses, even budgets ("no WSB")"""
    use_refinement: bool = True
    """False: the coarse segments are the result ("only CSB", with use_witness False)"""

    @property
    def refines(self) -> bool:
        """Whether there is a refinement bridge, and a step for it to take."""
        return self.use_refinement and self.budget.num_steps > 0

    def __post_init__(self) -> None:
        if self.dim % (2 * self.num_heads) != 0:
            raise ValueError(f"dim must be a multiple of 2 * num_heads, got {self.dim} and {self.num_heads}")
        if not (self.use_coarse or self.refines):
            raise ValueError("without coarse bridge and refinement steps nothing finds segments; keep one of them")
        if self.coarse.num_queries % 2 or self.coarse.num_queries < 2 * self.budget.query_floor:
            raise ValueError(f"num_queries must be even and cover both floors, got {self.coarse.num_queries}")
        if self.budget.num_steps % 2 or 0 < self.budget.num_steps < 2 * self.budget.step_floor:
            raise ValueError(f"num_steps must be 0, or even and cover both floors, got {self.budget.num_steps}")
        if not 0.0 < self.witness.row_mass <= 1.0:
            raise ValueError(f"row_mass must lie in (0, 1], got {self.witness.row_mass}")
        if self.budget.step_floor % 2 or self.budget.query_floor % 2:
            raise ValueError("budgets are even, so their floors must be")


def paper() -> IamsbConfig:
    """The published size: about 10 M trainable parameters."""
    return IamsbConfig()


def compact() -> IamsbConfig:
    """Small enough to train on two CPU cores in minutes."""
    return IamsbConfig(
        dim=96,
        num_heads=4,
        neck=NeckConfig(num_blocks=2, expansion=2, edge_dim=24),
        coarse=CoarseConfig(num_queries=40, hidden_multiple=2),
        witness=WitnessConfig(hidden_dim=32),
        budget=BudgetConfig(num_steps=8),
        refinement=RefinementConfig(hidden_multiple=2, fine_dim=12, fine_points=13),
    )


PRESETS = {"paper": paper, "compact": compact}


def ablations(config: IamsbConfig) -> dict[str, IamsbConfig]:
    """The paper's ablation table, and the variant it leaves out (coarse and witness without refinement)."""
    return {
        "full": config,
        "no-csb": replace(config, use_coarse=False),
        "csb-only": replace(config, use_witness=False, use_refinement=False),
        "no-wsb": replace(config, use_witness=False),
        "no-rsb": replace(config, use_refinement=False),
    }
