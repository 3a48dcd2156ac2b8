"""Report: evidence an analyst can check, as data, as a page and as subtitles."""
