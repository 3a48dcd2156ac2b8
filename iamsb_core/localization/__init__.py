"""Localization: from head outputs to proposals, suppressed, fused and windowed."""
