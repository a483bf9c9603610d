package fanotify

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"runtime/debug"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"waybill/incremental/journal"
	"waybill/incremental/journal/journaltest"
)

// A point led by this journal is the one that a scan makes.
func TestRounds(t *testing.T) {
	for i, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			v := volume(t, kind)
			s := t.TempDir()
			start(t, Options{StateDir: s, Mounts: []string{v}, Every: 5 * time.Millisecond})
			journaltest.Rounds(t, journaltest.Options{
				Volume:  v,
				Seed:    uint64(1000 * i),
				Rounds:  10,
				Stops:   i == 1,
				Journal: func(t *testing.T) journal.Journal { return open4(t, s, v) },
				Edit:    stores(t, 8),
			})
		})
	}
}

// stores returns an edit that maps files, stores to them, and unmaps some of those that were mapped in earlier rounds.
func stores(t *testing.T, files int) func(tree string, seed uint64) []string {
	maps := make([][]byte, files)
	return func(tree string, seed uint64) (did []string) {
		r := rand.New(rand.NewPCG(seed, 1))
		for range 3 {
			i := r.IntN(files)
			path := filepath.Join(tree, fmt.Sprintf("mapped%d", i))
			switch {
			case maps[i] == nil:
				var st unix.Stat_t
				if unix.Lstat(path, &st) == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
					continue // another edit has put something else there
				}
				maps[i] = mapped(t, path)
				did = append(did, "map "+path)
			case r.IntN(3) == 0:
				unmap(t, maps[i])
				maps[i] = nil
				did = append(did, "unmap "+path)
				continue
			}
			if store(maps[i], r.IntN(4096)) {
				did = append(did, "store to "+path)
			}
		}
		return did
	}
}

// store changes a byte of a mapping, unless another edit has cut the file off before it.
func store(b []byte, i int) (done bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if recover() != nil {
			done = false
		}
	}()
	b[i]++
	return true
}
