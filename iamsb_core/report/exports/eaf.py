"""ELAN's annotation format, one tier for each examined lane.

Format: https://www.mpi.nl/tools/elan/EAF_Annotation_Format_3.0_and_ELAN.pdf. Times are whole milliseconds.
Annotations of a tier may not overlap: where segments do, the one with the better score keeps the time and the other
what is left (`without_overlap`). ELAN looks for the media file beside this one.
"""

from __future__ import annotations

import mimetypes
import re
from urllib.parse import quote
from xml.etree import ElementTree as ET

from iamsb_core.report.exports.findings import Findings, span, without_overlap

_LINGUISTIC_TYPE = "forged"
_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def eaf(findings: Findings) -> str:
    """Tiers `audio`, `visual` and `fused`, those that were examined."""
    root = ET.Element("ANNOTATION_DOCUMENT", _document_attributes(findings.created))
    _add_header(root, findings)
    slots = ET.SubElement(root, "TIME_ORDER")
    num_annotations = 0
    for lane in findings.examined:
        tier = ET.SubElement(root, "TIER", {"LINGUISTIC_TYPE_REF": _LINGUISTIC_TYPE, "TIER_ID": lane})
        reached = 0
        for segment in without_overlap(findings.of(lane)):
            first, last = span(segment, 1000)
            first = max(first, reached)
            reached = last = max(last, first + 1)
            num_annotations += 1
            refs = [_add_slot(slots, milliseconds) for milliseconds in (first, last)]
            _add_annotation(tier, num_annotations, refs, f"{segment.key} {segment.label}")
    _add_linguistic_type(root)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _document_attributes(date: str) -> dict[str, str]:
    return {
        "AUTHOR": "iamsb",
        "DATE": date,
        "FORMAT": "3.0",
        "VERSION": "3.0",
        "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
        "xsi:noNamespaceSchemaLocation": "http://www.mpi.nl/tools/elan/EAFv3.0.xsd",
    }


def _add_header(root: ET.Element, findings: Findings) -> None:
    header = ET.SubElement(root, "HEADER", {"MEDIA_FILE": "", "TIME_UNITS": "milliseconds"})
    place = "./" + quote(findings.name, safe="", errors="replace")
    kind = mimetypes.guess_type(findings.name)[0] or "application/octet-stream"
    media = {"MEDIA_URL": place, "MIME_TYPE": kind, "RELATIVE_MEDIA_URL": place}
    ET.SubElement(header, "MEDIA_DESCRIPTOR", media)
    for name, value in (("iamsb media sha256", findings.sha256), ("iamsb summary", findings.summary)):
        ET.SubElement(header, "PROPERTY", {"NAME": name}).text = _xml(value)


def _add_slot(slots: ET.Element, milliseconds: int) -> str:
    name = f"ts{len(slots) + 1}"
    ET.SubElement(slots, "TIME_SLOT", {"TIME_SLOT_ID": name, "TIME_VALUE": str(milliseconds)})
    return name


def _add_annotation(tier: ET.Element, number: int, refs: list[str], text: str) -> None:
    annotation = ET.SubElement(tier, "ANNOTATION")
    where = {"ANNOTATION_ID": f"a{number}", "TIME_SLOT_REF1": refs[0], "TIME_SLOT_REF2": refs[1]}
    aligned = ET.SubElement(annotation, "ALIGNABLE_ANNOTATION", where)
    ET.SubElement(aligned, "ANNOTATION_VALUE").text = _xml(text)


def _add_linguistic_type(root: ET.Element) -> None:
    kind = {"GRAPHIC_REFERENCES": "false", "LINGUISTIC_TYPE_ID": _LINGUISTIC_TYPE, "TIME_ALIGNABLE": "true"}
    ET.SubElement(root, "LINGUISTIC_TYPE", kind)


def _xml(text: str) -> str:
    """Text without the characters that XML 1.0 cannot hold (lone surrogates of broken file names)."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
