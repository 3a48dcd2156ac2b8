"""What a pyramid reads of a stream: standardised features with the fine track beside them.

Shapes: B clips, L cells, D features of a cell.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from iamsb_core.data.batch import StreamBatch
from iamsb_core.encoders.base import StreamSpec
from iamsb_core.manifest import Modality
from iamsb_core.systems.noise import Noise
from iamsb_core.systems.normalisation import Standardise, StandardisedTrack
from iamsb_core.systems.padding import align_left
from iamsb_core.systems.sampling import sample_cells


class StreamInput(nn.Module):
    """Standardised main features of every cell, followed by the fine features that lie in the cell if wanted."""

    def __init__(self, stream: StreamSpec, *, feature_masking: float = 0.0, use_fine: bool = True) -> None:
        super().__init__()
        self.stream, self.feature_masking = stream, feature_masking
        self.standardise = Standardise(stream.dim)
        reads_fine = use_fine and stream.fine_dim > 0
        self.fine_standardise = Standardise(stream.fine_dim) if reads_fine else None
        self.num_fine = round(stream.hop_seconds / stream.fine_hop_seconds) if reads_fine else 0
        self.dim = stream.dim + self.num_fine * stream.fine_dim

    def forward(self, batch: StreamBatch, noise: Noise) -> tuple[Tensor, Tensor]:
        """(B, L, D) and valid (B, L), every clip from cell 0 on; in training whole features are hidden at random.

        Raises ValueError where the batch's features are not those that the system was built for.
        """
        self._check(batch)
        values, valid = align_left(batch.values, batch.valid)
        x = self.standardise(values, valid)
        if self.fine_standardise is not None:
            x = torch.cat([x, self._fine(batch, valid)], dim=-1)
        return x * noise.keep((len(x), 1, x.shape[-1]), self.feature_masking, x), valid

    def tracks(self, modality: Modality) -> list[StandardisedTrack]:
        """What of this stream is standardised."""
        pairs = ((False, self.standardise), (True, self.fine_standardise))
        return [StandardisedTrack(modality, fine, found) for fine, found in pairs if found is not None]

    def _fine(self, batch: StreamBatch, valid: Tensor) -> Tensor:
        """(B, L, num_fine * D_fine): the fine track at the centres of as many equal parts of every cell."""
        assert batch.fine_values is not None
        assert batch.fine_valid is not None
        assert self.fine_standardise is not None
        values, fine_valid = align_left(batch.fine_values, batch.fine_valid)
        values = self.fine_standardise(values, fine_valid)
        num_clips, num_cells = valid.shape
        place = (torch.arange(num_cells * self.num_fine, device=values.device) + 0.5) / self.num_fine
        fine_place = place * (self.stream.hop_seconds / self.stream.fine_hop_seconds)
        sampled = sample_cells(values, fine_place.expand(num_clips, -1), fine_valid.sum(dim=1))
        return sampled.reshape(num_clips, num_cells, -1) * valid[..., None]

    def _check(self, batch: StreamBatch) -> None:
        dim, fine_dim = batch.values.shape[-1], 0 if batch.fine_values is None else batch.fine_values.shape[-1]
        if dim != self.stream.dim or (self.stream.fine_dim and fine_dim != self.stream.fine_dim):
            raise ValueError(
                f"this system reads features of {self.stream.dim} dims (fine track {self.stream.fine_dim}), got {dim} "
                f"(fine track {fine_dim}); extract with the encoders that the model was trained on"
            )


def resampled(values: Tensor, valid: Tensor, hop_seconds: float, num_cells: int, wanted_hop_seconds: float) -> Tensor:
    """Features (B, L, D) of one clock read linearly at the centres of another's cells: (B, num_cells, D).

    Beyond a clip's last cell the last value holds; a clip without the stream gives zeros.
    """
    centres = (torch.arange(num_cells, device=values.device) + 0.5) * (wanted_hop_seconds / hop_seconds)
    return sample_cells(values, centres.expand(len(values), -1), valid.sum(dim=1))
