"""Asks `tools/verify_pack.py` about many packs in one process, for the test that holds it against `waag-verify`.

    verify_packs.py VERIFIER VKEY [WITNESS]     lines on standard input: `one PATH` or `mutations PATH`

`one` answers `verified` or `refused: …`; `mutations` flips a low and a high bit of every byte, cuts the file at every
length and adds a byte at either end, and answers how many of these were refused and which were not.
"""

import importlib.util
import sys

sys.dont_write_bytecode = True
spec = importlib.util.spec_from_file_location("verify_pack", sys.argv[1])
verifier = importlib.util.module_from_spec(spec)
spec.loader.exec_module(verifier)

KEYS = [verifier.Key(sys.argv[2])]
WITNESSES = [verifier.Key(key) for key in sys.argv[3:]]


def answer(pack):
    try:
        found = verifier.verify(pack, KEYS, WITNESSES)
    except verifier.NotVerified as why:
        return "refused: " + str(why).replace("\n", " ")
    except verifier.Lacking as why:
        return "lacking: " + str(why)
    return "lacking: " + found["lacking"][0] if found["lacking"] else "verified"


def mutations(pack):
    for at in range(len(pack)):
        for bit in (1, 128):
            changed = bytearray(pack)
            changed[at] ^= bit
            yield f"bit {bit} of byte {at}", bytes(changed)
        yield f"cut at {at}", pack[:at]
    yield "a byte behind", pack + b"\0"
    yield "a byte before", b"\0" + pack


def main():
    for line in sys.stdin:
        mode, _, path = line.rstrip("\n").partition(" ")
        with open(path, "rb") as file:
            pack = file.read()
        if mode == "one":
            print(answer(pack), flush=True)
            continue
        total, missed = 0, []
        for what, changed in mutations(pack):
            total += 1
            if not answer(changed).startswith("refused: "):
                missed.append(what)
        print(f"{total - len(missed)} of {total} refused {missed[:3]}", flush=True)


if __name__ == "__main__":
    main()
