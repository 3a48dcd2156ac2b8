"""What is done about predictions that are not as they should be: every case, in this one place.

| case                                   | what is done                                           | chosen by          |
| -------------------------------------- | ------------------------------------------------------ | ------------------ |
| clip of the labels without prediction  | no proposals and clip score 0; or left out; or refused | `missing`          |
| prediction of a clip not in the labels | left out, as the official evaluators do                |                    |
| clip listed twice in one file          | the last list counts                                   |                    |
| empty list, `[]` or `[[]]`             | a clip without proposals: its truth is missed          |                    |
| list not by falling score              | sorted (stable); or read as it is; or refused          | `unsorted`         |
| NaN, null or infinity in a proposal    | the proposal is left out; or refused                   | `not_finite`       |
| NaN as a clip's score                  | counts as 0; or refused                                | `not_finite`       |
| proposal that ends before it starts    | a false positive; or left out; or turned; or refused   | `inverted`         |
| proposal without length                | a false positive: the field's own placeholder is one   |                    |
| true segment of no or negative length  | stays, and can only be missed, as officially           |                    |
| split of which no clip is predicted    | left out of the score unless it is asked for by name   | `split` of `score` |
| row that is not three numbers, bad JSON| refused, with its place                                |                    |

Everything mended is told in the report's warnings with how often it occurred. The published evaluator stops with a
panic at the first missing clip, empty list, NaN or null, and reads lists as they are: `unsorted="as-is"` gives its
number for a file that is not sorted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Missing = Literal["count", "leave-out", "refuse"]
Unsorted = Literal["sort", "as-is", "refuse"]
NotFinite = Literal["leave-out", "refuse"]
Inverted = Literal["count", "leave-out", "turn", "refuse"]


@dataclass(frozen=True, kw_only=True)
class Policy:
    """The choices of the table above; the defaults never stop and never flatter."""

    missing: Missing = "count"
    unsorted: Unsorted = "sort"
    """`as-is` concerns protocols whose matching goes by the file's order; ActivityNet's ranks in any case"""
    not_finite: NotFinite = "leave-out"
    inverted: Inverted = "count"


DEFAULT_POLICY = Policy()


def refused(what: str, option: str) -> ValueError:
    """The error of a policy that refuses what another would mend."""
    return ValueError(f"{what}; mend the file, or choose another policy than {option}='refuse'")
