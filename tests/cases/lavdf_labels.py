"""An entry of LAV-DF's metadata, and how a test writes such a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

LAVDF_ENTRY = {
    "file": "test/000001.mp4",
    "n_fakes": 1,
    "fake_periods": [[1.0, 2.0]],
    "duration": 8.0,
    "original": None,
    "modify_video": False,
    "modify_audio": True,
    "split": "test",
    "video_frames": 200,
    "audio_channels": 1,
    "audio_frames": 128000,
}


def save(path: Path, document: Any) -> Path:
    """JSON, or a text as it is."""
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path
