package manifest

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"time"
)

// Parse reads a manifest. It accepts exactly what Encode writes: any other member, order, space or
// spelling fails with ErrFormat, so that a manifest has one form and its digest one meaning. It
// allocates in proportion to the bytes it has already accepted.
func Parse(b []byte) (*Manifest, error) {
	if len(b) > MaxManifest {
		return nil, fmt.Errorf("manifest: %w: %d bytes, a manifest may have %d", ErrFormat, len(b), MaxManifest)
	}
	s := &scanner{rest: b, size: len(b)}
	m := s.manifest()
	if s.err == nil && len(s.rest) > 0 {
		s.fail("the end")
	}
	if s.err != nil {
		return nil, fmt.Errorf("manifest: %w", s.err)
	}
	return m, m.check()
}

// A scanner reads the one form of a manifest from front to back. After the first
// failure it reads nothing more.
type scanner struct {
	rest []byte
	size int
	err  error
}

func (s *scanner) manifest() *Manifest {
	m := &Manifest{}
	s.expect(prologue + `,"vault":"`)
	m.Vault = s.id()
	s.expect(`","machine":"`)
	m.Machine = s.id()
	if s.skip(`","set":"`) {
		m.Set = s.id()
	}
	s.expect(`","sequence":`)
	m.Sequence = int(s.number(MaxSequence))
	s.expect(`,"previous":"`)
	if !s.skip(`","time":"`) {
		s.hex(m.Previous[:])
		s.nonzero(m.Previous)
		s.expect(`","time":"`)
	}
	m.Time = s.time()
	s.expect(`","tool":"`)
	m.Tool = s.text(maxTool)
	s.expect(`"`)
	m.Disks = s.optional(`,"disks":`)
	s.expect(`,"packs":[`)
	m.Packs = s.packs()
	s.expect(`]`)
	m.Lost = s.lost()
	s.expect(`,"record":"`)
	m.Record = s.base64(maxRecord)
	s.expect(`"}` + "\n")
	return m
}

func (s *scanner) packs() (list []Pack) {
	if !bytes.HasPrefix(s.rest, []byte(`{`)) {
		return nil
	}
	for more := true; more && s.err == nil; more = s.skip(`,`) {
		list = append(list, s.pack())
	}
	return list
}

// lost reads the member that is left out when it is empty.
func (s *scanner) lost() (list []Digest) {
	if !s.skip(`,"lost":["`) {
		return nil
	}
	for more := true; more && s.err == nil; more = s.skip(`,"`) {
		var d Digest
		s.hex(d[:])
		s.expect(`"`)
		list = append(list, d)
	}
	s.expect(`]`)
	return list
}

func (s *scanner) pack() (p Pack) {
	s.expect(`{"sha256":"`)
	s.hex(p.Name[:])
	s.expect(`","class":"`)
	p.Class = Class(s.text(len(Catalogue)))
	s.expect(`","size":`)
	p.Size = s.number(maxPack)
	s.expect(`,"crc64nvme":"`)
	var crc [8]byte
	s.hex(crc[:])
	p.CRC64 = binary.BigEndian.Uint64(crc[:])
	s.expect(`","md5":"`)
	s.hex(p.MD5[:])
	s.expect(`"`)
	p.Disk = s.optional(`,"disk":`)
	s.expect(`}`)
	return p
}

// fail notes the first thing that was not as it must be.
func (s *scanner) fail(want string) {
	if s.err == nil {
		s.err = fmt.Errorf("%w: byte %d should be %s", ErrFormat, s.size-len(s.rest), want)
	}
}

// skip goes past text if that comes next.
func (s *scanner) skip(text string) bool {
	if s.err != nil || len(s.rest) < len(text) || string(s.rest[:len(text)]) != text {
		return false
	}
	s.rest = s.rest[len(text):]
	return true
}

func (s *scanner) expect(text string) {
	if !s.skip(text) {
		s.fail("the start of " + text)
	}
}

// take goes past n bytes and returns them.
func (s *scanner) take(n int) string {
	if s.err != nil || len(s.rest) < n {
		s.fail(fmt.Sprintf("the start of %d more bytes", n))
		return ""
	}
	t := string(s.rest[:n])
	s.rest = s.rest[n:]
	return t
}

// text is what stands before the closing quote, which stays.
func (s *scanner) text(limit int) string {
	n := bytes.IndexByte(s.rest[:min(len(s.rest), limit+1)], '"')
	if n < 0 {
		s.fail(fmt.Sprintf("the start of a text of at most %d bytes", limit))
		return ""
	}
	return s.take(n)
}

func (s *scanner) id() ID {
	id, err := ParseID(s.take(36))
	if err != nil {
		s.fail("behind a UUID")
	}
	return id
}

func (s *scanner) hex(dst []byte) {
	if !parseHex(dst, s.take(2*len(dst))) {
		s.fail("behind hex digits")
	}
}

// number reads decimal digits without leading zeros.
func (s *scanner) number(limit int64) (n int64) {
	digits := 0
	for digits < min(len(s.rest), 12) && '0' <= s.rest[digits] && s.rest[digits] <= '9' {
		n = n*10 + int64(s.rest[digits]-'0')
		digits++
	}
	if digits == 0 || digits > 1 && s.rest[0] == '0' || n > limit {
		s.fail(fmt.Sprintf("a number of at most %d", limit))
		return 0
	}
	s.rest = s.rest[digits:]
	return n
}

// optional reads a member that is left out when it is 0.
func (s *scanner) optional(member string) (n int) {
	if !s.skip(member) {
		return 0
	}
	if n = int(s.number(maxDisks)); n == 0 {
		s.fail("behind a number that is not 0")
	}
	return n
}

func (s *scanner) nonzero(d Digest) {
	if d.IsZero() {
		s.fail("behind a digest")
	}
}

func (s *scanner) time() time.Time {
	text := s.take(len(timeLayout))
	t, err := time.Parse(timeLayout, text)
	if err != nil || t.Format(timeLayout) != text {
		s.fail("behind a time")
	}
	return t
}

func (s *scanner) base64(limit int) []byte {
	text := s.text(base64.StdEncoding.EncodedLen(limit))
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil || base64.StdEncoding.EncodeToString(b) != text {
		s.fail("behind base64")
	}
	return b
}
