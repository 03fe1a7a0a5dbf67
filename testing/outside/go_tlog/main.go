// Checks a folder that a ledger was published into with the libraries of Go's own checksum database:
// golang.org/x/mod/sumdb/note reads the checkpoint, golang.org/x/mod/sumdb/tlog reads tiles and proofs.
//
//	go_tlog DIR VKEY
//
// DIR holds `checkpoint`, `tile/…` as in C2SP tlog-tiles, and may hold `older/N` (checkpoints of earlier sizes) and
// `proofs` with lines `record INDEX HASH…` and `tree OLDSIZE HASH…` in base 64, each for the checkpoint's size.
// The tree is grown again from the records, every tile is compared and read through the library's own proof of tiles,
// every older checkpoint must be of the first records, every proof is checked and made again.
// It ends with 0 and a line of figures, or with 1 and what is wrong.
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8

// folder reads tiles from files: the path is that of C2SP tlog-tiles, which leaves out the height.
type folder struct{ root string }

func (f folder) Height() int { return height }

func (f folder) SaveTiles([]tlog.Tile, [][]byte) {}

func (f folder) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range tiles {
		data, err := f.tile(strings.TrimPrefix(tile.Path(), fmt.Sprintf("tile/%d/", height)))
		if err != nil {
			return nil, err
		}
		all = append(all, data)
	}
	return all, nil
}

func (f folder) tile(path string) ([]byte, error) {
	return os.ReadFile(filepath.Join(f.root, "tile", filepath.FromSlash(path)))
}

// bundle reads the records of a tile of level 0: each after its length in two bytes.
func (f folder) bundle(tile tlog.Tile) ([][]byte, error) {
	tile.L = -1
	path := strings.Replace(tile.Path(), fmt.Sprintf("tile/%d/data/", height), "entries/", 1)
	data, err := f.tile(path)
	if err != nil {
		return nil, err
	}
	var records [][]byte
	for len(data) > 0 {
		if len(data) < 2 || len(data)-2 < int(binary.BigEndian.Uint16(data)) {
			return nil, fmt.Errorf("%s is cut short", path)
		}
		end := 2 + int(binary.BigEndian.Uint16(data))
		records = append(records, data[2:end])
		data = data[end:]
	}
	if len(records) != tile.W {
		return nil, fmt.Errorf("%s has %d records, not %d", path, len(records), tile.W)
	}
	return records, nil
}

// openTree believes a checkpoint that the key signed and that is its own log's.
func openTree(path string, verifier note.Verifier) (tlog.Tree, error) {
	signed, err := os.ReadFile(path)
	if err != nil {
		return tlog.Tree{}, err
	}
	opened, err := note.Open(signed, note.VerifierList(verifier))
	if err != nil {
		return tlog.Tree{}, fmt.Errorf("%s: %v", path, err)
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[3] != "" || lines[0] != verifier.Name() {
		return tlog.Tree{}, fmt.Errorf("%s: not a checkpoint of %s", path, verifier.Name())
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 || strconv.FormatInt(size, 10) != lines[1] {
		return tlog.Tree{}, fmt.Errorf("%s: size", path)
	}
	root, err := tlog.ParseHash(lines[2])
	if err != nil {
		return tlog.Tree{}, fmt.Errorf("%s: %v", path, err)
	}
	return tlog.Tree{N: size, Hash: root}, nil
}

// checkTiles grows the tree from the records, which must lead to the checkpoint's root, and compares every tile with it.
//
// Each tile is read through the library's own TileHashReader besides. That alone would not do: it proves the tiles
// behind the first len(stx), but several parts of the root may lie in one tile, and then as many full tiles go unproven
// (golang.org/x/mod, tlog/tile.go, "Authenticate full tiles against their parents").
func checkTiles(f folder, tree tlog.Tree, verifier note.Verifier) (tiles, olders int, err error) {
	var stored []tlog.Hash
	grown := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		hashes := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			if index < 0 || index >= int64(len(stored)) {
				return nil, fmt.Errorf("hash %d is not in the tree", index)
			}
			hashes[i] = stored[index]
		}
		return hashes, nil
	})
	for n := int64(0); n < tree.N; n += 1 << height {
		records, err := f.bundle(tlog.Tile{H: height, L: 0, N: n >> height, W: width(tree.N, 0, n>>height)})
		if err != nil {
			return 0, 0, err
		}
		for i, record := range records {
			more, err := tlog.StoredHashes(n+int64(i), record, grown)
			if err != nil {
				return 0, 0, err
			}
			stored = append(stored, more...)
		}
	}
	root, err := tlog.TreeHash(tree.N, grown)
	if err != nil || root != tree.Hash {
		return 0, 0, fmt.Errorf("the records lead to another root: %v", err)
	}
	reader := tlog.TileHashReader(tree, f)
	for level := 0; tree.N>>uint(height*level) > 0; level++ {
		for n := int64(0); width(tree.N, level, n) > 0; n++ {
			tile := tlog.Tile{H: height, L: level, N: n, W: width(tree.N, level, n)}
			if err := checkTile(f, reader, grown, tile); err != nil {
				return tiles, 0, fmt.Errorf("%s: %v", tile.Path(), err)
			}
			tiles++
		}
	}
	olders, err = checkOlders(f, tree, verifier, grown)
	return tiles, olders, err
}

// checkOlders holds every checkpoint of an earlier size against the first records of this tree.
func checkOlders(f folder, tree tlog.Tree, verifier note.Verifier, grown tlog.HashReader) (int, error) {
	files, err := os.ReadDir(filepath.Join(f.root, "older"))
	if err != nil && !os.IsNotExist(err) {
		return 0, err
	}
	for _, file := range files {
		older, err := openTree(filepath.Join(f.root, "older", file.Name()), verifier)
		if err != nil {
			return 0, err
		}
		if older.N > tree.N {
			return 0, fmt.Errorf("older/%s: has %d records, more than the newest checkpoint", file.Name(), older.N)
		}
		root, err := tlog.TreeHash(older.N, grown)
		if err != nil || root != older.Hash {
			return 0, fmt.Errorf("older/%s: the first %d records are others than it says: %v", file.Name(), older.N, err)
		}
	}
	return len(files), nil
}

// width is that of a tile in a tree: whole, partial, or nothing behind the edge.
func width(size int64, level int, n int64) int {
	left := size>>uint(height*level) - n<<height
	if left > 1<<height {
		return 1 << height
	}
	if left < 0 {
		return 0
	}
	return int(left)
}

func checkTile(f folder, reader, grown tlog.HashReader, tile tlog.Tile) error {
	data, err := f.ReadTiles([]tlog.Tile{tile})
	if err != nil {
		return err
	}
	expected, err := tlog.ReadTileData(tile, grown)
	if err != nil {
		return err
	}
	if !bytes.Equal(data[0], expected) {
		return fmt.Errorf("not the hashes of the tree")
	}
	var indexes []int64
	for i := int64(0); i < int64(tile.W); i++ {
		indexes = append(indexes, tlog.StoredHashIndex(height*tile.L, tile.N<<height+i))
	}
	_, err = reader.ReadHashes(indexes)
	return err
}

func parseHashes(fields []string) ([]tlog.Hash, error) {
	var hashes []tlog.Hash
	for _, field := range fields {
		hash, err := tlog.ParseHash(field)
		if err != nil || base64.StdEncoding.EncodeToString(hash[:]) != field {
			return nil, fmt.Errorf("not a hash: %s", field)
		}
		hashes = append(hashes, hash)
	}
	return hashes, nil
}

func same(ours, theirs []tlog.Hash) bool {
	if len(ours) != len(theirs) {
		return false
	}
	for i := range ours {
		if !bytes.Equal(ours[i][:], theirs[i][:]) {
			return false
		}
	}
	return true
}

func checkProof(f folder, tree tlog.Tree, verifier note.Verifier, line string) error {
	fields := strings.Split(line, " ")
	if len(fields) < 2 {
		return fmt.Errorf("not a proof")
	}
	number, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return err
	}
	hashes, err := parseHashes(fields[2:])
	if err != nil {
		return err
	}
	reader := tlog.TileHashReader(tree, f)
	switch fields[0] {
	case "record":
		if number < 0 || number >= tree.N {
			return fmt.Errorf("no such record")
		}
		leaf, err := reader.ReadHashes([]int64{tlog.StoredHashIndex(0, number)})
		if err != nil {
			return err
		}
		if err := tlog.CheckRecord(hashes, tree.N, tree.Hash, number, leaf[0]); err != nil {
			return err
		}
		own, err := tlog.ProveRecord(tree.N, number, reader)
		if err != nil || !same(own, hashes) {
			return fmt.Errorf("the proof made from tiles is another: %v", err)
		}
	case "tree":
		older, err := openTree(filepath.Join(f.root, "older", fields[1]), verifier)
		if err != nil {
			return err
		}
		if older.N != number {
			return fmt.Errorf("the older checkpoint is of another size")
		}
		if err := tlog.CheckTree(hashes, tree.N, tree.Hash, older.N, older.Hash); err != nil {
			return err
		}
		own, err := tlog.ProveTree(tree.N, older.N, reader)
		if err != nil || !same(own, hashes) {
			return fmt.Errorf("the proof made from tiles is another: %v", err)
		}
	default:
		return fmt.Errorf("not a proof")
	}
	return nil
}

func check(root, vkey string) (string, error) {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return "", err
	}
	f := folder{root}
	tree, err := openTree(filepath.Join(root, "checkpoint"), verifier)
	if err != nil {
		return "", err
	}
	tiles, olders, err := checkTiles(f, tree, verifier)
	if err != nil {
		return "", err
	}
	proofs := 0
	text, err := os.ReadFile(filepath.Join(root, "proofs"))
	if err != nil && !os.IsNotExist(err) {
		return "", err
	}
	for _, line := range strings.Split(string(text), "\n") {
		if line == "" {
			continue
		}
		if err := checkProof(f, tree, verifier, line); err != nil {
			return "", fmt.Errorf("proof %q: %v", strings.SplitN(line, " ", 3)[:2], err)
		}
		proofs++
	}
	told := "verified: %d records, %d tiles of hashes, %d older checkpoints, %d proofs"
	return fmt.Sprintf(told, tree.N, tiles, olders, proofs), nil
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: go_tlog DIR VKEY")
		os.Exit(2)
	}
	told, err := check(os.Args[1], os.Args[2])
	if err != nil {
		fmt.Println("refused:", err)
		os.Exit(1)
	}
	fmt.Println(told)
}
