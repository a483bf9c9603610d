package disk

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"waybill/internal/fault"
)

// faulty makes three disks of packs and one of parity, of which one is on a file system that can have faults.
func faulty(t *testing.T, number int) (*set, *fault.Disk) {
	bad := fault.MountTest(t, fault.Faults{})
	return newSetOf(t, "4+1", []int{5, 5, 5}, 1, 100<<10, 300<<10, func(disk int) string {
		if disk == number {
			return bad.Dir
		}
		return t.TempDir()
	}), bad
}

// wants fails unless sealing failed for that disk alone, and the others are sealed.
func (s *set) wants(err error, number string, text string) {
	s.t.Helper()
	if err == nil || !strings.HasPrefix(err.Error(), "sealing disk "+number+": ") || !strings.Contains(err.Error(), text) || strings.Contains(err.Error(), "\n") {
		s.t.Errorf("sealing: %v", err)
	}
	for i, f := range s.disks {
		if sealed := f.Label().State == Sealed; sealed == (f.Label().Disk == int(number[0]-'0')) {
			s.t.Errorf("disk %d: sealed is %v", i+1, sealed)
		}
		if left, _ := filepath.Glob(f.path(".tmp-*")); left != nil {
			s.t.Errorf("disk %d: left are %v", i+1, left)
		}
	}
}

// A bad sector shows when the disk is sealed. Once it is protected, such a sector does no harm.
func TestBadSector(t *testing.T) {
	s, bad := faulty(t, 2)
	pack := s.packsOf(2)[3]
	sector := fault.Faults{FailReads: fault.Part(pack, 70000, 70512)}
	bad.Set(sector)
	err := s.seal()
	s.wants(err, "2", "input/output error")
	if !errors.Is(err, ErrMedium) {
		t.Error(err)
	}
	bad.Set(fault.Faults{})
	s.disks[0].must(s.seal(2, 4))
	bad.Set(sector)
	for lost := range 5 { // all disks are there, or one is lost
		if got := s.check(lost); got != nil {
			t.Errorf("without disk %d: lost are %d", lost, len(got))
		}
	}
}

// A disk of parity that takes no more leaves the others as they are. Next time it is made whole.
func TestParityDiskFails(t *testing.T) {
	for name, faults := range map[string]fault.Faults{
		"writes": {FailWrites: func(_ string, off, n int64) bool { return n > 4096 }},
		"syncs":  {FailSyncs: func(name string, _, _ int64) bool { return strings.Contains(name, ".tmp-") }},
		"reads":  {Lie: fault.Part(".shard", 0, 1<<40)},
	} {
		s, bad := faulty(t, 4)
		bad.Set(faults)
		err := s.seal()
		bad.Set(fault.Faults{})
		if err == nil {
			t.Errorf("%s fail, and the disk is sealed", name)
		}
		for number := 1; number <= 3; number++ {
			s.checkSums(number)
		}
		s.disks[0].must(s.seal())
		s.checkSums(4)
		for lost := 1; lost <= 4; lost++ {
			if got := s.check(lost); got != nil {
				t.Errorf("%s fail, then without disk %d: lost are %d", name, lost, len(got))
			}
		}
	}
}
