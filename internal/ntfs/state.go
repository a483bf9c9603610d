package ntfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
)

// State says whether all that was written to a volume has reached the disk. The zero value says yes.
type State struct {
	Dirty      bool // Windows wants to check it
	Unclean    bool // it wasn't unmounted: $LogFile may hold changes that were not carried out
	Hibernated bool // Windows sleeps and goes on with what it has in memory
}

// Clean says that nothing is amiss.
func (s State) Clean() bool { return s == State{} }

// String tells what is amiss.
func (s State) String() string {
	var is []string
	if s.Hibernated {
		is = append(is, "Windows is hibernated on it")
	}
	if s.Unclean {
		is = append(is, "it wasn't unmounted")
	}
	if s.Dirty {
		is = append(is, "it is marked to be checked")
	}
	if len(is) == 0 {
		return "clean"
	}
	return strings.Join(is, ", ")
}

// State looks at how the volume was left.
func (v *Volume) State() (State, error) {
	var s State
	r, err := v.Record(recordVolume)
	if err != nil {
		return s, fmt.Errorf("$Volume: %w", err)
	}
	if a := r.find(attrVolumeInfo, ""); a != nil && len(a.value) >= 12 {
		s.Dirty = u16(a.value, 10)&1 != 0
	}
	if s.Unclean, err = v.logUnclean(); err != nil {
		return s, fmt.Errorf("$LogFile: %w", err)
	}
	s.Hibernated, err = v.hibernated()
	return s, err
}

// hibernated looks for the file that Windows keeps its memory in, which begins with zeros or another word when it is awake.
func (v *Volume) hibernated() (bool, error) {
	frn, err := v.Find(v.root, []byte("hiberfil.sys"))
	if err == nil {
		var s *Stream
		if s, err = v.OpenStream(frn, ""); err == nil {
			var b [4]byte
			if _, err := s.ReadAt(b[:], 0); err != nil && err != io.EOF {
				return false, err
			}
			return strings.EqualFold(string(b[:]), "hibr"), nil
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return false, err
}

// logUnclean reads the restart pages of the log. Of the two the one written later counts.
//
//	page: 0x00 "RSTR"   0x04 update sequence   0x10 page size u32   0x18 area offset u16
//	area: 0x00 last lsn u64   0x0c clients in use u16: 0xffff none   0x0e flags u16: 2 clean
func (v *Volume) logUnclean() (bool, error) {
	s, err := v.OpenStream(FRN(recordLog)|FRN(recordLog)<<48, "")
	if err != nil {
		return false, err
	}
	unclean, latest, found := false, uint64(0), false
	for _, at := range []int64{0, 4096} {
		b := make([]byte, 4096)
		if _, err := s.ReadAt(b, at); err != nil && err != io.EOF {
			return false, err
		}
		area := int(u16(b, 0x18))
		if string(b[:4]) != "RSTR" || fixup(b, "restart page") != nil || area+0x10 > len(b) {
			continue
		}
		lsn := u64(b, area)
		if !found || lsn > latest {
			latest, found = lsn, true
			unclean = u16(b, area+0xc) != 0xffff && u16(b, area+0xe)&2 == 0
		}
	}
	return unclean, nil
}
