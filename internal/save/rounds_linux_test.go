package save_test

import (
	"testing"

	"waybill/incremental/journal"
	"waybill/incremental/journal/journaltest"
	"waybill/internal/treetest"
)

// Led by a journal that tells exactly what changed, and no more, the engine finds what a scan finds.
func TestRounds(t *testing.T) {
	for name, o := range map[string]journaltest.Options{
		"plain":    {Rounds: 40},
		"links":    {Seed: 1000, Rounds: 20},
		"excludes": {Seed: 2000, Rounds: 20, Excludes: []string{"/**/tree/**/*a", "!*ba", "/**/tree/*4*", "index*/re*"}},
		"larger":   {Seed: 3000, Rounds: 4, Edits: 20, Make: treetest.Options{Entries: 600, Shallow: true, Wide: 700}},
		"large":    {Seed: 4000, Rounds: 6, Make: treetest.Options{Entries: 20, MaxFile: 3 << 20, Shallow: true}},
		"wild":     {Seed: 5000, Rounds: 10, Edits: 60},
		"stops":    {Seed: 6000, Rounds: 20, Edits: 30, Stops: true, Excludes: []string{"/**/tree/**/*a", "!*ba", "/**/tree/*4*", "index*/re*"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o.Volume = t.TempDir()
			d := &journaltest.Diff{Root: o.Volume, Links: name == "links"}
			o.Journal = func(*testing.T) journal.Journal { return d }
			journaltest.Rounds(t, o)
		})
	}
}
