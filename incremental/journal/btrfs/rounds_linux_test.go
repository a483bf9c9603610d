package btrfs

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	"waybill/incremental/journal"
	"waybill/incremental/journal/journaltest"
	"waybill/internal/treetest"
)

// Led by the generations, the engine finds what a scan finds.
func TestRounds(t *testing.T) {
	for name, o := range map[string]journaltest.Options{
		"plain": {Rounds: 30},
		"large": {Seed: 1000, Rounds: 8, Make: treetest.Options{Entries: 20, MaxFile: 3 << 20, Shallow: true}},
		"subvolumes": {Seed: 3000, Rounds: 15, Edit: func(tree string, seed uint64) []string {
			sub := fmt.Sprintf("%s/sub%d", tree, seed%5)
			if os.Remove(sub) == nil {
				return []string{"removed " + sub}
			}
			if exec.Command("btrfs", "subvolume", "create", sub).Run() != nil {
				return nil // another edit has put something else there
			}
			return []string{"created " + sub}
		}},
		"wild":  {Seed: 2000, Rounds: 8, Edits: 60},
		"stops": {Seed: 4000, Rounds: 8, Edits: 30, Stops: true},
	} {
		t.Run(name, func(t *testing.T) {
			o.Volume = mounted(t, 512<<20)
			o.Journal = func(t *testing.T) journal.Journal {
				v, err := Open(o.Volume, Options{})
				ok(t, err)
				return v
			}
			journaltest.Rounds(t, o)
		})
	}
}
