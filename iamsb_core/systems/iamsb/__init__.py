"""The Inconsistency-aware Multimodal Schroedinger Bridge."""
