#!/usr/bin/env python3
"""Checks a Waag evidence pack, without Waag.

    python3 verify_pack.py PACK.zip --key VKEY [--witness VKEY] [--events]

PACK.zip is the pack, `-` for standard input; VKEY is the ledger's public key (`name+id+base64`), or a file that holds
one on each line, which you got some other way than with the pack. `--events` prints what the disclosed parts say, as
JSON lines. Needs Python 3.9 or later and the package `cryptography`; for parts that were packed with a dictionary also
Python 3.14 or the package `zstandard`.

Written from docs/reference/pack.md and docs/reference/entry.md alone, so that it shares no mistake with the program
that it checks. Exit codes: 0 verified; 1 not verified, with what is wrong; 2 wrong usage; 3 what could be checked
holds, but something this Python lacks kept it from checking the rest.
"""

import argparse
import base64
import binascii
import bisect
import datetime
import decimal
import hashlib
import hmac
import json
import re
import struct
import sys
import zlib

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

FORMAT = "waag evidence pack v1"
PACK_BYTES_MAX = 2**31 - 1
NOTE_BYTES_MAX = 65_536
PLAIN_BYTES_MAX = 4 * 1_048_576
ED25519, COSIGNATURE, ML_DSA_44 = 0x01, 0x04, 0x06


class NotVerified(Exception):
    """What is wrong, and where."""


class Lacking(Exception):
    """What this Python cannot do."""


def must(holds, what):
    if not holds:
        raise NotVerified(what)


# ---- the ZIP: one list of members has one file


def read_zip(pack):
    """The members, in their order, as (name, bytes); the file is made again from them and must be the same."""
    must(pack, "the file is empty")
    must(len(pack) <= PACK_BYTES_MAX, "the file is longer than a pack may be")
    members, at = [], 0
    while pack[at : at + 4] == b"PK\x03\x04":
        must(len(members) < 65_534, "more members than a pack may have")
        head = pack[at : at + 30]
        must(len(head) == 30, f"the header at offset {at} is cut")
        length, name_length = struct.unpack_from("<I4xH", head, 18)
        name = pack[at + 30 : at + 30 + name_length]
        body = pack[at + 30 + name_length : at + 30 + name_length + length]
        must(len(name) == name_length and len(body) == length, f"the member at offset {at} is cut")
        members.append((name, body))
        at += 30 + name_length + length
    must(write_zip(members) == pack, "the file is not the one ZIP file of its members")
    return [(text(name, "a member's name"), body) for name, body in members]


def write_zip(members):
    out, central = bytearray(), bytearray()
    for name, body in members:
        facts = struct.pack("<HHHHHIIIHH", 10, 0, 0, 0, 0x21, zlib.crc32(body), len(body), len(body), len(name), 0)
        central += b"PK\x01\x02" + struct.pack("<H", 20) + facts + struct.pack("<HHHII", 0, 0, 0, 0, len(out)) + name
        out += b"PK\x03\x04" + facts + name
        out += body
    count = len(members)
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, count, count, len(central), len(out), 0)
    return bytes(out + central + end)


def by_name(members):
    """The members by name, in the one order there is, each at most once."""
    fixed = ["cover.html", "cover.pdf", "manifest.json", "manifest.note", "checkpoint", "keys.json", "entries.bin",
             "proof.bin", "parts.bin"]
    found, ranks = {}, []
    for name, body in members:
        hashed = re.fullmatch(r"(blobs|dictionaries)/([0-9a-f]{64})", name)
        must(name in fixed or hashed, f"`{name}` is no member of a pack")
        ranks.append((fixed.index(name), "") if name in fixed else (9 if hashed[1] == "blobs" else 10, hashed[2]))
        if hashed:
            must(sha256(body).hex() == hashed[2], f"`{name}` is not named by its SHA-256")
        found[name] = body
    must(all(a < b for a, b in zip(ranks, ranks[1:])), "members stand in another order, or twice")
    missing = [name for name in fixed[2:] if name not in found]
    must(not missing, f"there is no `{missing[0] if missing else ''}`")
    for name, most in (("manifest.json", 16_777_216), ("manifest.note", NOTE_BYTES_MAX),
                       ("checkpoint", NOTE_BYTES_MAX), ("keys.json", 1_048_576)):
        must(len(found[name]) <= most, f"`{name}` is longer than it may be")
    return found


# ---- small things


def sha256(*pieces):
    hashed = hashlib.sha256()
    for piece in pieces:
        hashed.update(piece)
    return hashed.digest()


def text(data, what):
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise NotVerified(f"{what} is not UTF-8") from None


def unbase64(value, what):
    """Base 64 with padding, in its one spelling."""
    try:
        data = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise NotVerified(f"{what} is not base 64") from None
    must(base64.b64encode(data).decode() == value, f"{what} is not in the one spelling of base 64")
    return data


def has_control(value):
    return any(ord(c) < 0x20 or 0x7F <= ord(c) <= 0x9F for c in value)


# ---- keys, notes, checkpoints (C2SP signed-note, tlog-checkpoint, tlog-cosignature)


class Key:
    """A verifier key: `name+id+base64(type, public key)`."""

    def __init__(self, vkey):
        name, plus, rest = vkey.partition("+")
        claimed, plus_two, encoded = rest.partition("+")
        must(plus and plus_two and name and len(name.encode()) <= 255, f"`{vkey[:80]}` is no verifier key")
        must(not re.search(r"\s", name) and not has_control(name), f"`{vkey[:80]}` is no verifier key")
        typed = unbase64(encoded, "a verifier key")
        must(len(typed) > 1, f"`{vkey[:80]}` is no verifier key")
        self.name, self.type, self.public, self.vkey = name, typed[0], typed[1:], vkey
        self.id = sha256(name.encode(), b"\n", typed)[:4]
        must(claimed == self.id.hex(), f"the id of `{vkey[:80]}` is not that of its key")
        lengths = {ED25519: 32, COSIGNATURE: 32, ML_DSA_44: 1312}
        must(lengths.get(self.type) == len(self.public), f"`{vkey[:80]}` is of a type that is not known")

    def made(self, line):
        return line[0] == self.name and line[1] == self.id

    def check(self, note_text, signature):
        """Checks a signature; returns the time of a cosignature, else nothing."""
        if self.type == ED25519:
            return self.ed25519(signature, note_text.encode())
        if self.type == COSIGNATURE:
            must(len(signature) == 72, f"the cosignature of `{self.name}` has another length")
            seconds = int.from_bytes(signature[:8], "big")
            self.ed25519(signature[8:], f"cosignature/v1\ntime {seconds}\n{note_text}".encode())
            return seconds
        must(len(signature) == 8 + 2_420, f"the signature of `{self.name}` has another length")
        seconds = int.from_bytes(signature[:8], "big")
        must(seconds < 2**63, f"the time in the signature of `{self.name}` is none")
        origin, size, root = note_text.split("\n")[:3]
        names = [bytes([len(name.encode())]) + name.encode() for name in (self.name, origin)]
        message = b"subtree/v1\n\0" + names[0] + signature[:8] + names[1] + bytes(8)
        self.ml_dsa_44(signature[8:], message + int(size).to_bytes(8, "big") + base64.b64decode(root))
        return seconds or None

    def ml_dsa_44(self, signature, message):
        try:
            from cryptography.exceptions import UnsupportedAlgorithm
            from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey
        except ImportError:
            raise Lacking(f"`{self.name}` signs with ML-DSA-44: a newer `cryptography` is needed") from None
        try:
            MLDSA44PublicKey.from_public_bytes(self.public).verify(signature, message)
        except UnsupportedAlgorithm:
            raise Lacking(f"`{self.name}` signs with ML-DSA-44, which this machine's library lacks") from None
        except (InvalidSignature, ValueError):
            raise NotVerified(f"the signature of `{self.name}` is false") from None

    def ed25519(self, signature, message):
        try:
            must(len(signature) == 64, f"the signature of `{self.name}` has another length")
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)
        except (InvalidSignature, ValueError):
            raise NotVerified(f"the signature of `{self.name}` is false") from None


def read_note(data, what):
    """A signed note: its text, and its signature lines as (name, key id, signature)."""
    note = text(data, what)
    must(not any(ord(c) < 0x20 and c != "\n" for c in note), f"{what} holds a control character")
    body, blank, lines = note.rpartition("\n\n")
    must(blank and lines.endswith("\n"), f"{what} is no signed note")
    signatures = []
    for line in lines[:-1].split("\n"):
        parts = re.fullmatch(r"\u2014 ([^ +]+) ([A-Za-z0-9+/=]+)", line)
        must(parts and len(parts[1].encode()) <= 255, f"{what} has a line that is no signature")
        must(not re.search(r"\s", parts[1]), f"{what} has a line that is no signature")
        raw = unbase64(parts[2], f"a signature of {what}")
        must(len(raw) >= 5, f"{what} has a signature that is too short")
        signatures.append((parts[1], raw[:4], raw[4:]))
    must(1 <= len(signatures) <= 64, f"{what} has no signature, or too many")
    return body + "\n", signatures


def check_manifest_note(data, given):
    """The note over the manifest: (origin, digest, signature lines); signatures are checked once `signers` is known."""
    body, signatures = read_note(data, "manifest.note")
    lines = body.split("\n")
    must(len(lines) == 4 and lines[3] == "", "manifest.note has not three lines")
    must(lines[0] == FORMAT, f"`{lines[0][:60]}` is no version of a pack that this script knows")
    digest = unbase64(lines[2], "the digest in manifest.note")
    must(len(digest) == 32, "the digest in manifest.note has another length")
    must(any(key.name == lines[1] for key in given), f"no key was given that is named for `{lines[1]}`")
    return body, lines[1], digest, signatures


def check_checkpoint(data, origin, given, witnesses, told):
    """The checkpoint: (size, root, who signed, [(witness, time)], lines not checked)."""
    body, signatures = read_note(data, "the checkpoint")
    lines = body.split("\n")
    must(len(lines) == 4 and lines[3] == "", "the checkpoint has not three lines")
    must(lines[0] == origin, "the checkpoint is of another origin than the manifest")
    must(re.fullmatch(r"[1-9][0-9]{0,18}", lines[1]) and int(lines[1]) <= 2**62, "the checkpoint's size is no size")
    root = unbase64(lines[2], "the checkpoint's root")
    must(len(root) == 32, "the checkpoint's root has another length")
    signers, cosigned, unchecked, seen = [], [], 0, set()
    for line in signatures:
        keys = {key.vkey: key for key in given + witnesses + told if key.made(line)}
        must(len(keys) <= 1, "two keys have one name and id")
        if not keys:
            unchecked += 1
            continue
        key = next(iter(keys.values()))
        time = key.check(body, line[2])
        if key.vkey in seen:
            continue
        seen.add(key.vkey)
        if any(key.vkey == one.vkey for one in given) and key.name == origin and key.type != COSIGNATURE:
            signers.append(key)
        elif any(key.vkey == one.vkey for one in witnesses):
            cosigned.append((key.name, time))
    must(signers, "no key that was given signed the checkpoint")
    return int(lines[1]), root, signers, cosigned, unchecked


# ---- JSON in one spelling


def read_json(data, what, shape):
    """A value of `shape`: a dict of members, a list of one shape, or a function that checks a text or number."""
    source = text(data, what)
    try:
        value = json.loads(source)
        again = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    except (ValueError, RecursionError):
        raise NotVerified(f"{what} is no JSON of a pack") from None
    must(again == source, f"{what} is not in the one spelling of its JSON")
    fits(value, shape, what)
    return value


def fits(value, shape, what):
    if isinstance(shape, dict):
        must(isinstance(value, dict), f"{what} is no object")
        needed = {name for name in shape if not name.startswith("?")}
        known = {name.lstrip("?") for name in shape}
        must(needed <= set(value) <= known, f"{what} has other members than it may have")
        for name, below in value.items():
            fits(below, shape.get(name) or shape["?" + name], f"{what}, {name}")
    elif isinstance(shape, list):
        must(isinstance(value, list), f"{what} is no list")
        must(shape[1] <= len(value) <= shape[2], f"{what} has too few or too many items")
        for place, below in enumerate(value):
            fits(below, shape[0], f"{what}, {place}")
    else:
        must(shape(value), f"{what} is not what stands there")


def count(value):
    return type(value) is int and 0 <= value <= 2**31 - 1


def words(least, most):
    def check(value):
        return isinstance(value, str) and least <= len(value.encode()) <= most and not has_control(value)

    return check


def like(pattern):
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None


def time_ns(value):
    """Nanoseconds since 1970 of a time with nine digits of fraction."""
    parts = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.(\d{9})Z", value) if isinstance(value, str) else None
    must(parts and value.isascii(), f"`{str(value)[:40]}` is no time of a pack")
    try:
        whole = datetime.datetime.strptime(parts[1], "%Y-%m-%dT%H:%M:%S")
    except ValueError:
        raise NotVerified(f"`{value}` is no time") from None
    seconds = (whole - datetime.datetime(1970, 1, 1)) // datetime.timedelta(seconds=1)
    nanos = seconds * 10**9 + int(parts[2])
    must(-(2**63) <= nanos < 2**63, f"`{value}` is beyond the times of a pack")
    return nanos


def is_time(value):
    time_ns(value)
    return True


DECIMAL, HASH = like("0|[1-9][0-9]{0,19}"), like("[0-9a-f]{64}")
MANIFEST = {
    "actor": words(1, 255),
    "checkpoint": {"root": HASH, "size": DECIMAL},
    "counts": dict.fromkeys(("blobs", "dictionaries", "disclosed", "entries", "erased", "parts"), count),
    "event": words(0, 1_024),
    "format": lambda value: value == FORMAT,
    "gapless": lambda value: type(value) is int and value in (0, 1),
    "ledger": like("[0-9a-f]{32}"),
    "made": is_time,
    "members": [{"bytes": count, "name": words(1, 255), "sha256": HASH}, 1, 65_534],
    "origin": words(1, 255),
    "positions": {"first": DECIMAL, "last": DECIMAL},
    "reason": words(0, 1_024),
    "selection": {
        "terms": [{"name": like("[a-z0-9-]{1,32}"), "value": words(0, 65_536)}, 0, 64],
        "text": words(0, 4_096),
    },
    "signers": [words(1, 4_096), 1, 8],
}
KEYS = {
    "format": lambda value: value == "waag key history v1",
    "keys": [
        {"from": is_time, "state": lambda value: value in ("active", "retired", "revoked"), "?until": is_time,
         "vkey": words(1, 4_096)}, 1, 128],
    "origin": words(1, 255),
}


def check_manifest(members, given):
    """The manifest under its signatures, and the key history; as (manifest, keys of the history)."""
    note_text, origin, digest, signatures = check_manifest_note(members["manifest.note"], given)
    must(sha256(members["manifest.json"]) == digest, "manifest.json is not the one that was signed")
    manifest = read_json(members["manifest.json"], "manifest.json", MANIFEST)
    must(manifest["origin"] == origin, "manifest.json is of another origin than its note")
    must(origin.rpartition("/")[2] == manifest["ledger"], "the manifest's ledger is not that of its origin")
    listed = [(one["name"], one["bytes"], one["sha256"]) for one in manifest["members"]]
    found = [(name, len(body), sha256(body).hex()) for name, body in members.items()
             if name not in ("manifest.json", "manifest.note")]
    must(listed == found, "the members are not those that the manifest lists")
    signers = [Key(vkey) for vkey in manifest["signers"]]
    must(len({key.vkey for key in signers}) == len(signers), "a signer stands twice in the manifest")
    must(all(key.type == ED25519 and key.name == origin for key in signers), "a signer is no key of this origin")
    must({key.vkey for key in signers} & {key.vkey for key in given}, "none of the manifest's signers was given")
    must([(key.name, key.id) for key in signers] == [line[:2] for line in signatures],
         "the signatures of manifest.note are not those of the manifest's signers")
    for key, line in zip(signers, signatures):
        key.check(note_text, line[2])

    history = read_json(members["keys.json"], "keys.json", KEYS)
    must(history["origin"] == origin, "keys.json is of another origin")
    order = [(time_ns(key["from"]), key["vkey"]) for key in history["keys"]]
    must(all(a < b for a, b in zip(order, order[1:])), "keys.json is not in its order")
    must(len({vkey for _, vkey in order}) == len(order), "a key stands twice in keys.json")
    told = []
    for one in history["keys"]:
        must("until" in one or one["state"] == "active", "a key that is not active has no end in keys.json")
        must("until" not in one or time_ns(one["until"]) > time_ns(one["from"]), "a key in keys.json ends before it begins")
        told.append(Key(one["vkey"]))
        must(told[-1].name == origin and told[-1].type in (ED25519, ML_DSA_44), "keys.json has a key of another kind")
    active = {one["vkey"] for one in history["keys"] if one["state"] == "active"}
    must({key.vkey for key in signers} <= active, "a signer of the manifest is not active in keys.json")
    return manifest, told


# ---- the tree: one proof for all entries (RFC 6962)


def read_entries(data, size):
    must(len(data) >= 4, "entries.bin is cut")
    entries, at = {}, 4
    for _ in range(int.from_bytes(data[:4], "big")):
        must(len(data) >= at + 10, "entries.bin is cut")
        position, length = struct.unpack_from(">QH", data, at)
        entry = data[at + 10 : at + 10 + length]
        must(length and len(entry) == length, f"the entry at position {position} is cut")
        must(not entries or position > next(reversed(entries)), "entries are not in the order of their positions")
        must(position < size, f"position {position} is beyond the checkpoint")
        entries[position] = entry
        at += 10 + length
    must(at == len(data), "entries.bin has bytes behind its last entry")
    must(entries, "there is no entry")
    must(len(entries) <= 1_000_000, "there are more entries than a pack may have")
    return entries


def root_of(entries, proof, size):
    must(len(proof) % 32 == 0, "proof.bin is no list of hashes")
    positions, used = list(entries), 0

    def hash_of(low, high, first, last):
        nonlocal used
        if first == last:
            used += 32
            must(used <= len(proof), "proof.bin has too few hashes")
            return proof[used - 32 : used]
        if high - low == 1:
            return sha256(b"\0", entries[low])
        middle = low + (1 << (high - low - 1).bit_length() - 1)
        split = bisect.bisect_left(positions, middle, first, last)
        left = hash_of(low, middle, first, split)
        return sha256(b"\1", left, hash_of(middle, high, split, last))

    root = hash_of(0, size, 0, len(positions))
    must(used == len(proof), "proof.bin has hashes that nothing needs")
    return root


# ---- deterministic CBOR (RFC 8949 §4.2), as far as entries use it


class Withheld:
    """A place whose value stands in the part with this index."""

    def __init__(self, part):
        self.part = part

    def __eq__(self, other):
        return isinstance(other, Withheld) and other.part == self.part

    __hash__ = None


class Cbor:
    def __init__(self, data, what):
        self.data, self.at, self.what = data, 0, what

    def wrong(self, expected):
        raise NotVerified(f"{self.what}: no {expected} at byte {self.at}")

    def take(self, length, expected):
        piece = self.data[self.at : self.at + length]
        if len(piece) != length:
            self.wrong(expected)
        self.at += length
        return piece

    def peek(self):
        return self.data[self.at] if self.at < len(self.data) else None

    def head(self, major, expected):
        start = self.peek()
        if start is None or start >> 5 != major or start & 31 > 27:
            self.wrong(expected)
        self.at += 1
        short = start & 31
        if short < 24:
            return short
        length = 1 << (short - 24)
        value = int.from_bytes(self.take(length, expected), "big")
        if value < (24 if length == 1 else 1 << (4 * length)):
            self.wrong(f"{expected} in its shortest form")
        return value

    def uint(self, expected):
        return self.head(0, expected)

    def integer(self, expected):
        if self.peek() is not None and self.peek() >> 5 == 1:
            return -1 - self.head(1, expected)
        return self.head(0, expected)

    def bytes(self, expected, length=None):
        value = self.take(self.head(2, expected), expected)
        if length is not None and len(value) != length:
            self.wrong(expected)
        return value

    def text(self, expected):
        return text(self.take(self.head(3, expected), expected), f"{self.what}: {expected}")

    def array(self, expected, length=None):
        found = self.head(4, expected)
        if length is not None and found != length:
            self.wrong(expected)
        return found

    def null(self):
        if self.peek() == 0xF6:
            self.at += 1
            return True
        return False

    def end(self):
        if self.at != len(self.data):
            self.wrong("end")

    def value(self, depth=0, placeholders=True):
        if depth > 65:
            self.wrong("value, but a nesting that is too deep,")
        start = self.peek()
        if start is None:
            self.wrong("value")
        major = start >> 5
        if major in (0, 1):
            return self.integer("integer")
        if major == 3:
            return self.text("text")
        if major == 4:
            return [self.value(depth + 1, placeholders) for _ in range(self.array("array"))]
        if major == 5:
            members, before = {}, b""
            for _ in range(self.head(5, "map")):
                at = self.at
                name = self.text("name")
                encoded = self.data[at : self.at]
                # Bytewise order of the encoded names: shorter names first.
                if encoded <= before:
                    self.wrong("name after the one before it")
                before = encoded
                members[name] = self.value(depth + 1, placeholders)
            return members
        if major == 6:
            return self.tagged()
        if start in (0xF4, 0xF5, 0xF6):
            self.at += 1
            return {0xF4: False, 0xF5: True, 0xF6: None}[start]
        if 0xE1 <= start <= 0xE7 and placeholders:
            self.at += 1
            return Withheld(start & 31)
        self.wrong("value")

    def tagged(self):
        tag = self.head(6, "tag")
        if tag in (2, 3):
            return self.bignum(tag)
        if tag != 4:
            self.wrong("bignum or decimal")
        self.array("decimal", 2)
        exponent = self.integer("exponent")
        if not -400 <= exponent <= 400:
            self.wrong("exponent of -400 to 400")
        start = self.peek()
        if start is not None and start >> 5 == 6:
            significand = self.bignum(self.head(6, "bignum"))
        else:
            significand = self.integer("significand")
        return decimal.Decimal((0 if significand >= 0 else 1, tuple(map(int, str(abs(significand)))), exponent))

    def bignum(self, tag):
        if tag not in (2, 3):
            self.wrong("bignum")
        digits = self.bytes("bignum")
        if not 9 <= len(digits) <= 16 or digits[0] == 0 or digits[0] > 127 and len(digits) == 16:
            self.wrong("bignum in its shortest form")
        value = int.from_bytes(digits, "big")
        return value if tag == 2 else -1 - value


# ---- entries and their parts


class Part:
    def __init__(self, cbor):
        cbor.array("part of six", 6)
        self.role = cbor.uint("role")
        if self.role > 1:
            cbor.wrong("role")
        self.key_id = cbor.bytes("key id", 16)
        cbor.bytes("salt", 32)
        at = cbor.at
        self.dictionary = None
        if cbor.peek() is not None and cbor.peek() >> 5 == 0:
            if cbor.uint("codec") != 0:
                cbor.wrong("codec")
        else:
            cbor.array("codec", 2)
            if cbor.uint("codec") != 1:
                cbor.wrong("codec")
            self.dictionary = cbor.bytes("dictionary's name", 8)
        self.codec_bytes = cbor.data[at : cbor.at]
        self.commitment = cbor.bytes("commitment", 32)
        self.ciphertext = cbor.bytes("ciphertext")
        if len(self.ciphertext) < 16:
            cbor.wrong("ciphertext with its tag")

    def open(self, what, secret, ledger, header, index, dictionaries):
        """The plaintext: commitment first, then decryption, then the dictionary."""
        dictionary = None
        if self.dictionary is not None:
            dictionary = dictionaries.get(self.dictionary)
            must(dictionary is not None, f"{what}: its dictionary is not in the pack")
        must(len(self.ciphertext) <= PLAIN_BYTES_MAX + 16, f"{what}: its ciphertext is too long")
        covered = b"commit" + (sha256(dictionary) if dictionary is not None else b"")
        must(expand(secret, covered) == self.commitment, f"{what}: the secret is not that of this part")
        associated = (ledger + header + bytes([index, self.role]) + b"\x50" + self.key_id + self.codec_bytes)
        try:
            plain = AESGCM(expand(secret, b"key")).decrypt(bytes(12), self.ciphertext, associated)
        except InvalidTag:
            raise NotVerified(f"{what}: the ciphertext was changed") from None
        return plain if dictionary is None else unpack(plain, dictionary, what)


def expand(secret, info):
    """HKDF-Expand (RFC 5869 §2.3) to 32 bytes: one block."""
    return hmac.new(secret, info + b"\x01", hashlib.sha256).digest()


def unpack(packed, dictionary, what):
    """One zstd frame (RFC 8878) that names the dictionary and its own length."""
    must(packed[:4] == b"\x28\xb5\x2f\xfd" and dictionary[:4] == b"\x37\xa4\x30\xec", f"{what}: no zstd frame")
    wanted = int.from_bytes(dictionary[4:8], "little")
    try:
        from compression import zstd
    except ImportError:
        zstd = None
    if zstd is not None:
        try:
            facts = zstd.get_frame_info(packed)
            length, name = facts.decompressed_size, facts.dictionary_id
            decompressor = zstd.ZstdDecompressor(zstd.ZstdDict(dictionary))
            must(length is not None and length <= PLAIN_BYTES_MAX, f"{what}: its length is not told, or too large")
            plain = decompressor.decompress(packed, max_length=length + 1)
            alone = (decompressor.eof or length == 0) and not decompressor.unused_data
        except zstd.ZstdError:
            raise NotVerified(f"{what}: the zstd frame is damaged") from None
    else:
        try:
            import zstandard
        except ImportError:
            raise Lacking(f"{what} was packed with zstd: Python 3.14 or the package `zstandard` is needed") from None
        try:
            facts = zstandard.get_frame_parameters(packed)
            length, name = facts.content_size, facts.dict_id
            must(length <= PLAIN_BYTES_MAX, f"{what}: its length is not told, or too large")
            decompressor = zstandard.ZstdDecompressor(zstandard.ZstdCompressionDict(dictionary)).decompressobj()
            plain = decompressor.decompress(packed)
            alone = decompressor.eof and not decompressor.unused_data
        except zstandard.ZstdError:
            raise NotVerified(f"{what}: the zstd frame is damaged") from None
    must(name == wanted, f"{what}: the zstd frame is of another dictionary")
    must(alone and len(plain) == length, f"{what}: it is not exactly one zstd frame")
    return plain


class Entry:
    def __init__(self, data, position):
        cbor = Cbor(data, f"the entry at position {position}")
        cbor.array("entry", 2)
        start = cbor.at
        fields = cbor.array("header")
        version = cbor.uint("version")
        must(version == 1, f"the entry at position {position} is of version {version}, which is not known")
        if fields != 10:
            cbor.wrong("header of ten")
        self.kind = cbor.text("type")
        must(1 <= len(self.kind.encode()) <= 255, f"the entry at position {position} has a type of another length")
        must(cbor.uint("schema version") < 2**32, f"the entry at position {position}: its schema version")
        self.accepted = cbor.integer("accepted time")
        must(-(2**63) <= self.accepted < 2**63, f"the entry at position {position}: its accepted time")
        must(1 <= len(cbor.text("retention class").encode()) <= 32, f"the entry at position {position}: its class")
        must(cbor.uint("tag epoch") < 2**32, f"the entry at position {position}: its tag epoch")
        cbor.bytes("identity tag", 16)
        if not cbor.null():
            cbor.bytes("ordering tag", 16)
        if not cbor.null():
            cbor.array("cause", 2)
            cbor.bytes("cause's hash", 32)
            must(1 <= cbor.uint("cause's depth") <= 255, f"the entry at position {position}: its cause's depth")
        blobs = cbor.array("blobs")
        must(blobs <= 8, f"the entry at position {position} has too many blobs")
        self.blobs = [cbor.bytes("blob's hash", 32) for _ in range(blobs)]
        self.header = data[start : cbor.at]
        parts = cbor.array("parts")
        must(1 <= parts <= 8, f"the entry at position {position} has not 1 to 8 parts")
        self.parts = [Part(cbor) for _ in range(parts)]
        cbor.end()
        roles = [part.role for part in self.parts]
        must(roles == [0] + [1] * (parts - 1), f"the entry at position {position}: its common part is not its first")


NAMES = {0: "id", 1: "source", 2: "subject", 3: "attributes", 4: "data", 5: "binary", 6: "actor"}


def read_event(cbor, placeholders=True):
    """An event: its members by name; absent ones are left out."""
    event, before = {}, -1
    for _ in range(cbor.head(5, "event")):
        key = cbor.uint("event's key")
        if key <= before or key not in NAMES or key == 5 and "data" in event:
            cbor.wrong("event's key after the one before it")
        before = key
        value = cbor.bytes("body") if key == 5 else cbor.value(0, placeholders)
        if key in (0, 1, 2, 6) and not isinstance(value, (str, Withheld)):
            cbor.wrong("text")
        if key == 3 and not isinstance(value, (dict, Withheld)):
            cbor.wrong("map of attributes")
        event[NAMES[key]] = value
    must({"id", "source", "attributes", "actor"} <= set(event), f"{cbor.what}: it is no whole event")
    return event


def blob_place(plain):
    """The place in the header of the blob that a part refers to, or none."""
    return plain[1] if len(plain) == 2 and plain[0] == 0x81 and plain[1] < 24 else None


def read_fields(plain, what):
    """A person's values by path."""
    cbor = Cbor(plain, what)
    number = cbor.head(5, "map of fields")
    must(number, f"{what}: it has no field")
    fields, before = {}, b""
    for _ in range(number):
        at = cbor.at
        path = cbor.text("path")
        if plain[at : cbor.at] <= before:
            cbor.wrong("path after the one before it")
        before = plain[at : cbor.at]
        fields[path] = read_event(cbor, False) if path == "" and number == 1 else cbor.value(0, False)
    cbor.end()
    return fields


def fill(event, part, fields, what):
    """Puts a person's values at the places that name the part; exactly those."""
    here = Withheld(part)
    if list(fields) == [""]:
        whole = fields[""]
        must(isinstance(whole, dict) and {"id", "source", "attributes", "actor"} <= set(whole), f"{what}: no event")
        actor = here if event["actor"] == here else whole["actor"]
        all_here = {"id": here, "source": here, "subject": here, "attributes": here, "data": here, "actor": actor}
        must(event == all_here, f"{what}: it does not fill the places that name it")
        return whole
    for path, value in fields.items():
        steps = [step.replace("~1", "/").replace("~0", "~") for step in path.split("/")[1:]]
        escaped = all(re.fullmatch(r"(?:[^~]|~[01])*", step) for step in path.split("/"))
        must(path.startswith("/") and escaped, f"{what}: `a path` is none")
        must(steps[0] in ("id", "source", "subject", "actor", "attributes", "data"), f"{what}: a path leads nowhere")
        holder, last = event, steps[-1]
        for step in steps[:-1]:
            holder = below(holder, step, what)
        must(below(holder, last, what) == here, f"{what}: it fills a place that does not name it")
        holder[int(last) if isinstance(holder, list) else last] = value
    must(not names_part(event, here), f"{what}: it leaves places open that name it")
    return event


def below(holder, step, what):
    if isinstance(holder, dict) and step in holder:
        return holder[step]
    if isinstance(holder, list) and re.fullmatch("0|[1-9][0-9]*", step) and int(step) < len(holder):
        return holder[int(step)]
    raise NotVerified(f"{what}: a path leads nowhere")


def names_part(value, here):
    if isinstance(value, dict):
        return any(names_part(one, here) for one in value.values())
    if isinstance(value, list):
        return any(names_part(one, here) for one in value)
    return value == here


# ---- what is disclosed


def read_parts(data, entries):
    """(disclosed secrets, blobs' secrets, parts said to be erased)."""
    at = 0

    def take(length):
        nonlocal at
        piece = data[at : at + length]
        must(len(piece) == length, "parts.bin is cut")
        at += length
        return piece

    def places(size, what):
        found, before = {}, None
        for _ in range(int.from_bytes(take(4), "big")):
            position, index = struct.unpack(">QB", take(9))
            must(before is None or (position, index) > before, f"{what} are not in their order")
            before = (position, index)
            must(position in entries, f"{what} name position {position}, which is not in the pack")
            must(index < len(entries[position].parts), f"{what} name a part that is not there")
            found[before] = take(size)
        return found

    disclosed = places(32, "disclosed parts")
    blobs, before = {}, b""
    for _ in range(int.from_bytes(take(4), "big")):
        name = take(32)
        must(name > before, "blobs are not in their order")
        before = name
        blobs[name] = take(32)
    erased = places(0, "erased parts")
    must(not set(disclosed) & set(erased), "a part is both disclosed and said to be erased")
    must(at == len(data), "parts.bin has bytes behind its end")
    return disclosed, blobs, erased


class Disclosure:
    """Everything that opens, and what was used for it."""

    def __init__(self, members, ledger):
        self.ledger = ledger
        self.blob_bytes = {bytes.fromhex(name[6:]): body for name, body in members.items() if name[:6] == "blobs/"}
        found = [(bytes.fromhex(name[13:]), body) for name, body in members.items() if name[:13] == "dictionaries/"]
        must(all(len(body) <= 131_072 for _, body in found), "a dictionary is longer than it may be")
        self.dictionaries = {name[:8]: body for name, body in found}
        must(len(self.dictionaries) == len(found), "two dictionaries have one name")
        self.used_blobs, self.used_dictionaries = set(), set()

    def open(self, part, what, secret, header, index):
        if part.dictionary is not None:
            self.used_dictionaries.add(part.dictionary)
        return part.open(what, secret, self.ledger, header, index, self.dictionaries)

    def plain(self, entry, position, index, secret, blob_secrets):
        """What a disclosed part holds, out of its blob where it refers to one."""
        what = f"part {index} at position {position}"
        part = entry.parts[index]
        plain = self.open(part, what, secret, entry.header, index)
        place = blob_place(plain)
        if place is None:
            return plain
        must(place < len(entry.blobs), f"{what}: it refers to a blob that the entry does not name")
        name = entry.blobs[place]
        must(name in self.blob_bytes and name in blob_secrets, f"{what}: its blob is not in the pack")
        must(name not in self.used_blobs, f"{what}: its blob is another part's too")
        self.used_blobs.add(name)
        cbor = Cbor(self.blob_bytes[name], f"the blob of {what}")
        blob = Part(cbor)
        cbor.end()
        must((blob.role, blob.key_id) == (part.role, part.key_id), f"{what}: its blob is of another role or key")
        plain = self.open(blob, f"the blob of {what}", blob_secrets[name], b"", 0)
        must(blob_place(plain) is None, f"{what}: its blob refers to a blob")
        return plain


def opened(entries, members, ledger):
    """What every disclosed part says: (position, entry, event or none), and the counts."""
    disclosed, blob_secrets, erased = read_parts(members["parts.bin"], entries)
    disclosure = Disclosure(members, ledger)
    must(set(blob_secrets) == set(disclosure.blob_bytes), "blobs and their secrets are not the same")
    events, lacking = [], []
    for position, entry in entries.items():
        event, persons = None, []
        told = [index for index in range(len(entry.parts)) if (position, index) in disclosed]
        must(not told or told[0] == 0, f"a person's part at position {position} is disclosed without the common one")
        for index in range(len(entry.parts)):
            secret = disclosed.get((position, index))
            if secret is None:
                continue
            what = f"part {index} at position {position}"
            try:
                plain = disclosure.plain(entry, position, index, secret, blob_secrets)
            except Lacking as why:
                lacking.append(str(why))
                continue
            if index == 0:
                cbor = Cbor(plain, what)
                event = read_event(cbor)
                cbor.end()
            else:
                persons.append((index, read_fields(plain, what)))
        if event is not None:
            for index, fields in persons:
                event = fill(event, index, fields, f"part {index} at position {position}")
        events.append((position, entry, event))
    if not lacking:
        must(disclosure.used_blobs == set(disclosure.blob_bytes), "a blob is in the pack that nothing needs")
        must(disclosure.used_dictionaries == set(disclosure.dictionaries), "a dictionary is in it that nothing needs")
    counts = {"blobs": len(disclosure.blob_bytes), "dictionaries": len(disclosure.dictionaries),
              "disclosed": len(disclosed), "entries": len(entries), "erased": len(erased),
              "parts": sum(len(entry.parts) for entry in entries.values())}
    return events, counts, lacking


# ---- the whole


def verify(pack, given, witnesses=()):
    """Verifies a pack; returns a dict of what was verified, or raises NotVerified."""
    must(given, "no key of the ledger was given: the keys in the pack prove nothing by themselves")
    given, witnesses = list(given), list(witnesses)
    members = by_name(read_zip(pack))
    manifest, told = check_manifest(members, given)
    size, root, signers, cosigned, unchecked = check_checkpoint(
        members["checkpoint"], manifest["origin"], given, witnesses, told)
    must((str(size), root.hex()) == (manifest["checkpoint"]["size"], manifest["checkpoint"]["root"]),
         "the checkpoint is not the one that the manifest names")
    raw = read_entries(members["entries.bin"], size)
    must(root_of(raw, members["proof.bin"], size) == root, "the entries and the proof do not lead to the root")
    entries = {position: Entry(data, position) for position, data in raw.items()}
    events, counts, lacking = opened(entries, members, bytes.fromhex(manifest["ledger"]))
    must(counts == manifest["counts"], "the counts are not those of the manifest")
    first, last = min(raw), max(raw)
    must((str(first), str(last)) == (manifest["positions"]["first"], manifest["positions"]["last"]),
         "the positions are not those of the manifest")
    gapless = last - first + 1 == len(raw)
    must(int(gapless) == manifest["gapless"], "the manifest is wrong about gaps")
    return {"manifest": manifest, "digest": sha256(members["manifest.json"]).hex(), "size": size, "root": root.hex(),
            "signers": signers, "cosigned": cosigned, "unchecked": unchecked, "events": events, "counts": counts,
            "gapless": gapless, "lacking": lacking, "leaves": {at: sha256(b"\0", data).hex() for at, data in raw.items()}}


def plain_json(value):
    if isinstance(value, Withheld):
        return {"withheld in part": value.part}
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, decimal.Decimal):
        return {"decimal": str(value)}
    raise TypeError(type(value))


def report(found, show_events):
    manifest, counts = found["manifest"], found["counts"]
    print(f"verified: {counts['entries']} entries of {manifest['origin']}")
    print(f"  under the checkpoint of size {found['size']}, root {found['root']}")
    print(f"  signed by {', '.join(key.vkey for key in found['signers'])}")
    for name, seconds in found["cosigned"]:
        when = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).isoformat() if seconds < 2**35 else seconds
        print(f"  cosigned by {name} at {when}")
    if found["unchecked"]:
        print(f"  {found['unchecked']} signatures on it are by keys that were not given, and say nothing")
    span = f"positions {manifest['positions']['first']} to {manifest['positions']['last']}"
    print(f"  {span}: {'nothing between them is missing' if found['gapless'] else 'with gaps; what lies in them is not told'}")
    print(f"  {counts['disclosed']} of {counts['parts']} parts disclosed, {counts['erased']} said to be erased")
    print(f"  digest {found['digest']}")
    print("in the operator's words (signed by him, not proven):")
    for name in ("actor", "made", "reason"):
        print(f"  {name}: {manifest[name]}")
    print(f"  asked for: {manifest['selection']['text']}")
    if show_events:
        for position, entry, event in found["events"]:
            line = {"position": position, "leaf": found["leaves"][position], "type": entry.kind,
                    "accepted_ns": entry.accepted, "event": event}
            print(json.dumps(line, ensure_ascii=True, default=plain_json))


def keys_of(arguments):
    keys = []
    for argument in arguments:
        lines = [argument]
        if argument.startswith("@") or "+" not in argument:
            with open(argument.removeprefix("@"), encoding="utf-8") as file:
                lines = [line.strip() for line in file if line.strip() and not line.startswith("#")]
        keys.extend(Key(line) for line in lines)
    return keys


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Checks a Waag evidence pack, without Waag.")
    parser.add_argument("pack", help="the pack, or - for standard input")
    parser.add_argument("--key", action="append", default=[], metavar="VKEY",
                        help="the ledger's public key, or a file (also as @FILE) with one on each line; not one out of the pack")
    parser.add_argument("--witness", action="append", default=[], metavar="VKEY", help="a witness's public key, or a file")
    parser.add_argument("--events", action="store_true", help="print what the disclosed parts say, as JSON lines")
    options = parser.parse_args(arguments)
    try:
        given, witnesses = keys_of(options.key), keys_of(options.witness)
        if options.pack == "-":
            pack = sys.stdin.buffer.read(PACK_BYTES_MAX + 1)
        else:
            with open(options.pack, "rb") as file:
                pack = file.read(PACK_BYTES_MAX + 1)
    except (OSError, UnicodeDecodeError, NotVerified) as why:
        print(f"cannot begin: {why}", file=sys.stderr)
        return 2
    try:
        found = verify(pack, given, witnesses)
    except NotVerified as why:
        print(f"NOT VERIFIED: {why}")
        return 1
    except Lacking as why:
        print(f"NOT CHECKED: {why}")
        return 3
    report(found, options.events)
    for why in found["lacking"]:
        print(f"NOT CHECKED: {why}")
    return 3 if found["lacking"] else 0


if __name__ == "__main__":
    sys.exit(main())
