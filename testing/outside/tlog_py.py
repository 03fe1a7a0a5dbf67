"""Checks folders that a ledger was published into with PyPI's `aics-tlog`, and ML-DSA-44 lines with `cryptography`.

    python tlog_py.py VKEY [WITNESS_VKEY...] < lines

Each line of standard input is a folder with `checkpoint`, `tile/...` and perhaps `older/N` and `proofs` (see
`go_tlog/main.go`); each is answered by one line, `verified: ...` or `refused: ...`. One process reads them all, since
starting Python takes longer than most of them. Every witness given must have cosigned.
"""

import base64
import hashlib
import struct
import sys
from pathlib import Path

from aics_tlog import (
    FileSystemTileReader,
    VerifiedTileReader,
    audit_tiles,
    consistency_proof_from_tiles,
    inclusion_proof_from_tiles,
    parse_checkpoint,
    parse_note,
    parse_vkey,
    verify_checkpoint,
    verify_consistency,
    verify_inclusion,
)
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import mldsa

ML_DSA_44 = 6


class Refused(Exception):
    """What is wrong with a folder."""


def decode(text):
    """Base 64 in its one spelling."""
    raw = base64.b64decode(text, validate=True)
    if base64.b64encode(raw).decode() != text:
        raise Refused("base 64 in another spelling")
    return raw


def split_vkey(text):
    """Name, key id, type and key; the library itself reads Ed25519 keys only."""
    name, key_id, typed = text.split("+", 2)
    typed = decode(typed)
    digest = hashlib.sha256(name.encode() + b"\n" + typed).digest()
    if digest[:4].hex() != key_id:
        raise Refused(f"the id of {name} does not follow from its key")
    return name, bytes.fromhex(key_id), typed[0], typed[1:]


def check_ml_dsa(note, witness):
    """C2SP tlog-cosignature: an ML-DSA-44 line over label, name, time, origin, the whole tree."""
    name, key_id, _, key = split_vkey(witness)
    head = parse_checkpoint(note.text)
    origin, cosigner = head.origin.encode(), name.encode()
    lines = [
        raw
        for line in str(note.to_bytes(), "utf-8").rsplit("\n\n", 1)[1].splitlines()
        for raw in [decode(line.split(" ")[2])]
        if line.split(" ")[1] == name and raw[:4] == key_id
    ]
    if not lines:
        raise Refused(f"{name} did not cosign")
    for raw in lines:
        time = raw[4:12]
        message = b"subtree/v1\n\x00" + bytes([len(cosigner)]) + cosigner + time + bytes([len(origin)]) + origin
        message += struct.pack(">QQ", 0, head.size) + head.root
        try:
            mldsa.MLDSA44PublicKey.from_public_bytes(key).verify(raw[12:], message)
        except InvalidSignature:
            raise Refused(f"the ML-DSA-44 line of {name} is false") from None


def open_checkpoint(path, log, witnesses):
    """The head of a checkpoint that the log signed, and that each witness cosigned."""
    note = parse_note(path.read_bytes())
    ed25519 = [witness for witness in witnesses if split_vkey(witness)[2] != ML_DSA_44]
    keys = [parse_vkey(witness) for witness in ed25519]
    told = verify_checkpoint(note, log, keys, len(keys), expected_origin=log.name)
    if not told.ok:
        raise Refused(f"{path.name}: {told.error}")
    for witness in witnesses:
        if witness not in ed25519:
            check_ml_dsa(note, witness)
    return parse_checkpoint(note.text)


def check_proof(folder, tiles, head, log, line):
    """A proof that was given, and the one that follows from the tiles."""
    kind, number, *hashes = line.split(" ")
    number, hashes = int(number), [decode(text) for text in hashes]
    if kind == "record":
        good = verify_inclusion(tiles.leaf_hash(number), number, head.size, hashes, head.root)
        own = inclusion_proof_from_tiles(tiles, number, head.size)
    elif kind == "tree":
        older = open_checkpoint(folder / "older" / str(number), log, [])
        good = older.size == number and verify_consistency(number, head.size, older.root, head.root, hashes)
        own = consistency_proof_from_tiles(tiles, number, head.size)
    else:
        raise Refused("not a proof")
    if not good or list(own) != hashes:
        raise Refused(f"the proof of {kind} {number} does not hold")


def check_lengths(folder):
    """Tiles of hashes have no byte too many; the library reads as far as it needs."""
    for path in (folder / "tile").rglob("*"):
        if path.is_file() and "entries" not in path.parts:
            width = int(path.name) if path.parent.name.endswith(".p") else 256
            if path.stat().st_size != 32 * width:
                raise Refused(f"{path.name} is not {width} hashes")


def check(folder, log, witnesses):
    """Figures of what was verified."""
    head = open_checkpoint(folder / "checkpoint", log, witnesses)
    reader = FileSystemTileReader(folder)
    report = audit_tiles(reader, head.size, head.root)
    tiles = VerifiedTileReader(reader, head.size, head.root)
    tiles.check_root()
    check_lengths(folder)
    proofs = folder / "proofs"
    *lines, last = proofs.read_text().split("\n") if proofs.exists() else [""]
    if last:
        raise Refused("the last proof does not end in a newline")
    for line in lines:
        check_proof(folder, tiles, head, log, line)
    return f"{report.size} records, {report.tiles} tiles of hashes, {len(lines)} proofs"


def main():
    """One answer for each folder."""
    log, witnesses = parse_vkey(sys.argv[1]), sys.argv[2:]
    for line in sys.stdin:
        try:
            print("verified:", check(Path(line.rstrip("\n")), log, witnesses), flush=True)
        except (Refused, ValueError, OSError, IndexError, LookupError) as refused:
            print("refused:", type(refused).__name__, str(refused).replace("\n", " "), flush=True)


if __name__ == "__main__":
    main()
