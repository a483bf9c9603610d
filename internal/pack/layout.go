package pack

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"

	"github.com/zeebo/blake3"

	"waybill/manifest"
)

// The fixed parts and limits of a pack: manifest/FORMAT.md, section 5.
const (
	headerSize  = 16
	trailerSize = 32
	tagSize     = 16

	// MaxPack is the largest pack in bytes: offsets are 32 bits.
	MaxPack = 1<<32 - 1

	maxTable     = 64 << 20
	minWrap      = 16
	maxWrap      = 4096
	maxFrames    = 1 << 16
	maxPlain     = 16 << 20
	maxSealed    = maxPlain + 64<<10
	maxPerFrame  = 1 << 16
	methodStored = 0
	methodZstd   = 1
)

// Largest chunks, by class. Readers refuse larger ones before they allocate.
const (
	MaxDataChunk      = 1 << 20
	MaxCatalogueChunk = 16 << 20
)

const (
	magicHead = "WAYBILL PACK"
	magicTail = "WAYBTAIL"
)

var classByte = map[manifest.Class]byte{manifest.Data: 1, manifest.Catalogue: 2}

func header(class manifest.Class) (h [headerSize]byte) {
	copy(h[:], magicHead)
	h[12], h[13] = 1, classByte[class]
	return h
}

func parseHeader(h []byte) (manifest.Class, error) {
	for class := range classByte {
		if want := header(class); string(h) == string(want[:]) {
			return class, nil
		}
	}
	if string(h[:len(magicHead)]) == magicHead {
		return "", damaged("a pack of another format version")
	}
	return "", damaged("not a pack")
}

// A trailer tells where a pack's parts begin. The frames end where the table does begin.
type trailer struct {
	table                  int64
	tableLen, wrapR, wrapM int64
}

func (t trailer) encode() []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(t.table))
	for _, n := range []int64{t.tableLen, t.wrapR, t.wrapM, 0} {
		b = binary.BigEndian.AppendUint32(b, uint32(n))
	}
	return append(b, magicTail...)
}

func parseTrailer(b []byte, size int64) (t trailer, err error) {
	if string(b[24:]) != magicTail {
		return t, damaged("a pack without its end")
	}
	u32 := func(i int) int64 { return int64(binary.BigEndian.Uint32(b[i:])) }
	t = trailer{int64(binary.BigEndian.Uint64(b)), u32(8), u32(12), u32(16)}
	switch {
	case u32(20) != 0,
		t.tableLen < tagSize || t.tableLen > maxTable+tagSize,
		t.wrapR < minWrap || t.wrapR > maxWrap,
		t.wrapM < minWrap || t.wrapM > maxWrap,
		t.table < headerSize || t.table > MaxPack,
		t.table+t.tableLen+t.wrapR+t.wrapM+trailerSize != size:
		return t, damaged("a pack whose trailer does not fit its size")
	}
	return t, nil
}

// Encryption: one key a pack, never used for another, so the nonce is the frame's number.

func newAEAD(key [32]byte) cipher.AEAD {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err) // 32 bytes are always a key
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return aead
}

// tableKey derives the key of a pack's table from the pack's key. It goes one
// way: a machine that holds it learns which chunks a pack has, not what they say.
func tableKey(packKey [32]byte) (k [32]byte) {
	blake3.DeriveKey("waybill 1 pack table", packKey[:], k[:])
	return k
}

// place gives the nonce and the associated data that bind frame i to its pack's class and its place.
func place(h [headerSize]byte, i uint32) (nonce [12]byte, aad [headerSize + 4]byte) {
	binary.BigEndian.PutUint32(nonce[8:], i)
	copy(aad[:], h[:])
	binary.BigEndian.PutUint32(aad[headerSize:], i)
	return nonce, aad
}

var tableNonce = [12]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
