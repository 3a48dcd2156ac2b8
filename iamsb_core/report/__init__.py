"""What a reader gets: the evidence as JSON, a page with a time line, subtitles."""

from iamsb_core.report.build import build_report
from iamsb_core.report.evidence import EncoderFacts, ModelFacts, Report, Thresholds, document, schema
from iamsb_core.report.write import ReportFiles, report_json, write_exports, write_report

__all__ = [
    "EncoderFacts",
    "ModelFacts",
    "Report",
    "ReportFiles",
    "Thresholds",
    "build_report",
    "document",
    "report_json",
    "schema",
    "write_exports",
    "write_report",
]
