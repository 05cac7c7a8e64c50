"""Checks an audit trail: every record, every link between two, and every signed head."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gateway.chain import BEGINNING, Record, files_of, lines_forwards, read_record
from gateway.chain_heads import HEADS, Head, read_heads

#: How long the chainer may be in the middle of a line.
_LINE_SECONDS = 0.5


@dataclass
class Verdict:
    """What was found in an audit trail."""

    records: int = 0
    heads: int = 0
    last_head: Head | None = None
    findings: list[str] = field(default_factory=list)
    """What is wrong and where, a sentence each; empty where nothing is."""


def verify(
    folder: Path, keys: Sequence[Ed25519PublicKey], kept_elsewhere: Sequence[Head] = ()
) -> Verdict:
    """Check the audit trail in a folder.

    Args:
        folder: of the trail.
        keys: public keys of the gateway, the one of today and those before it.
        kept_elsewhere: heads that an export carried away.

    Raises:
        OSError: the folder cannot be read.
    """
    verdict = Verdict()
    named = [(f"{HEADS} line {number}", head) for number, head in read_heads(folder)]
    named += [(f"the head of {head.at} that was kept elsewhere", head) for head in kept_elsewhere]
    heads: dict[int, list[tuple[str, Head]]] = {}
    for where, head in named:
        if head is None:
            verdict.findings.append(f"{where}: this is no head.")
        elif not head.is_signed_by(keys):
            verdict.findings.append(f"{where}: not signed by the gateway's key.")
        else:
            heads.setdefault(head.seq, []).append((where, head))
            verdict.heads += 1
            if verdict.last_head is None or head.seq >= verdict.last_head.seq:
                verdict.last_head = head
    _check_chain(folder, verdict, heads)
    return verdict


def _check_chain(folder: Path, verdict: Verdict, heads: dict[int, list[tuple[str, Head]]]) -> None:
    seq, previous = 0, BEGINNING
    unmet = dict(heads)
    for where, record in _records(folder):
        if record is None:
            verdict.findings.append(f"{where}: this is no record, or was changed.")
            continue
        verdict.records += 1
        if record.seq != seq + 1:
            verdict.findings.append(
                f"{where}: record {record.seq} stands where record {seq + 1} should be;"
                " records were dropped or moved."
            )
        elif record.previous != previous:
            verdict.findings.append(
                f"{where}: record {record.seq} is not chained to the one before it."
            )
        if record.hash != record.expected_hash():
            verdict.findings.append(f"{where}: record {record.seq} was changed.")
        for place, head in unmet.pop(record.seq, ()):
            if head.hash != record.hash:
                verdict.findings.append(
                    f"{where}: record {record.seq} is not the one that {place} was signed for."
                )
        seq, previous = record.seq, record.hash
    for missing in sorted(unmet):
        place, _ = unmet[missing][0]
        verdict.findings.append(
            f"{place}: record {missing} is missing; the trail ends with record {seq}."
        )


def _records(folder: Path) -> Iterator[tuple[str, Record | None]]:
    """Every line of every file: where it stands, and its record unless it has none."""
    for path in files_of(folder):
        for number, line in enumerate(lines_forwards(path), start=1):
            whole = line if line.endswith(b"\n") else _finished(path, number)
            record = read_record(whole[:-1]) if whole.endswith(b"\n") else None
            yield f"{path.name} line {number}", record


def _finished(path: Path, number: int) -> bytes:
    """The last line once more, because the chainer may have been in the middle of it."""
    time.sleep(_LINE_SECONDS)
    for found, line in enumerate(lines_forwards(path), start=1):
        if found == number:
            return line
    return b""
