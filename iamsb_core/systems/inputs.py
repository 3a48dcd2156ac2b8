"""What a system reads of a stream: standardised features with the fine track beside them.

Shapes: B clips, L cells, D features of a cell.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from iamsb_core.data.batch import StreamBatch
from iamsb_core.encoders.base import StreamSpec
from iamsb_core.manifest import Modality
from iamsb_core.systems.cells import Cells
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

    def forward(self, batch: StreamBatch, noise: Noise) -> Cells:
        """All features of every cell; in training whole features are hidden at random.

        Raises ValueError where the batch's features are not those that the system was built for.
        """
        self._check(batch)
        values, valid = align_left(batch.values, batch.valid)
        x = self.standardise(values, valid)
        fine = self.fine_track(batch)
        if fine is not None:
            x = torch.cat([x, self._beside(fine, valid)], dim=-1)
        x = x * noise.keep((len(x), 1, x.shape[-1]), self.feature_masking, x)
        return Cells(x, valid, batch.hop_seconds)

    def tracks(self, modality: Modality) -> list[StandardisedTrack]:
        """What of this stream is standardised."""
        pairs = ((False, self.standardise), (True, self.fine_standardise))
        return [StandardisedTrack(modality, fine, found) for fine, found in pairs if found is not None]

    def fine_track(self, batch: StreamBatch) -> Cells | None:
        """The standardised fine track on its own clock, where it is read."""
        if self.fine_standardise is None:
            return None
        assert batch.fine_values is not None
        assert batch.fine_valid is not None
        values, valid = align_left(batch.fine_values, batch.fine_valid)
        return Cells(self.fine_standardise(values, valid), valid, batch.fine_hop_seconds)

    def _beside(self, fine: Cells, valid: Tensor) -> Tensor:
        """(B, L, num_fine * D_fine): the fine track at the centres of as many equal parts of every cell."""
        num_clips, num_cells = valid.shape
        place = (torch.arange(num_cells * self.num_fine, device=valid.device) + 0.5) / self.num_fine
        fine_place = place * (self.stream.hop_seconds / self.stream.fine_hop_seconds)
        sampled = sample_cells(fine.values, fine_place.expand(num_clips, -1), fine.valid.sum(dim=1))
        return sampled.reshape(num_clips, num_cells, -1) * valid[..., None]

    def _check(self, batch: StreamBatch) -> None:
        dim, fine_dim = batch.values.shape[-1], 0 if batch.fine_values is None else batch.fine_values.shape[-1]
        if dim != self.stream.dim or (self.stream.fine_dim and fine_dim != self.stream.fine_dim):
            raise ValueError(
                f"this system reads features of {self.stream.dim} dims (fine track {self.stream.fine_dim}), got {dim} "
                f"(fine track {fine_dim}); extract with the encoders that the model was trained on"
            )
