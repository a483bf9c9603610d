package proof

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"waybill/internal/catalog"
	"waybill/internal/domain"
	"waybill/internal/fault"
	"waybill/manifest"
)

// noise is n bytes that don't compress.
func noise(n int, seed uint64) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), 1}).Read(b)
	return b
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o666); err != nil {
		t.Fatal(err)
	}
}

// smallTree has something for several checkpoints: small files, and one that is saved in parts.
func smallTree(t *testing.T) string {
	t.Helper()
	root := scratch(t)
	for i := range 30 {
		write(t, fmt.Sprintf("%s/d%d/f%02d", root, i%4, i), noise(500+i*900, uint64(i)))
	}
	write(t, root+"/large", noise(1<<20, 99))
	if err := os.Symlink("d1/f01", root+"/link"); err != nil {
		t.Fatal(err)
	}
	return root
}

// ways are the ways in which an operation fails, and what is of the store after it.
var ways = map[string]struct {
	when fault.When
	down bool
}{
	"not done":                        {fault.Before, false},
	"done":                            {fault.After, false},
	"half read":                       {fault.Amid, false},
	"not done, and the store is gone": {fault.Before, true},
	"done, and the store is gone":     {fault.After, true},
}

// Every operation of the vault fails once, in every way. After it nothing half visible is there, and the next
// run goes on.
func TestEveryOperationOfTheVaultFails(t *testing.T) {
	t.Parallel()
	root, id := smallTree(t), newIdentity(t)
	settle()
	want := snap(t, root)
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			for k := 1; ; k++ {
				script := &fault.Script{At: k, When: way.when, Down: way.down}
				newMachine(t, id).failOnce(root, want, script)
				if t.Failed() {
					t.Fatalf("operation %d", k)
				}
				if !script.Tripped() {
					t.Logf("each of %d operations failed", k-1)
					break
				}
			}
		})
	}
}

// failOnce makes a backup under the script, checks what is there, then makes another without and checks that.
func (m *machine) failOnce(root string, want snapshot, script *fault.Script) {
	m.t.Helper()
	cfg := m.config(root)
	r, err := m.try(fault.Store{Inner: m.vault, Script: script}, cfg)
	if err != nil && !errors.Is(err, fault.Err) {
		m.t.Errorf("it failed with another error: %v", err)
	}
	if err == nil && (r == nil || r.Point.State != catalog.Complete) {
		m.t.Errorf("a run that succeeded has no complete point: %+v", r)
	}
	ids := m.sound(root, want)
	if r != nil && !slices.Contains(ids, r.ID) {
		m.t.Errorf("commit %d was reported, but is not there", r.Manifest.Sequence)
	}
	if n := cfg.Progress.Checkpoints.Load(); n > int64(len(ids)) {
		m.t.Errorf("%d checkpoints, but %d commits", n, len(ids))
	}
	again := m.backup(root)
	after := m.sound(root, want)
	for i, id := range ids {
		if after[i] != id {
			m.t.Errorf("commit %d is another than before", i+1)
		}
	}
	if after[len(after)-1] != again.ID || again.Point.State != catalog.Complete {
		m.t.Errorf("the point that was reported last is not the last")
	}
}

// sound checks everything in the vault: without keys, and each point by reading it. It returns the points' ids.
func (m *machine) sound(root string, want snapshot) (ids []manifest.Digest) {
	m.t.Helper()
	m.verified(true) // packs that were not committed may be there
	m.points(func(d *domain.Domain, p domain.Point) {
		ids = append(ids, p.Digest)
		got, err := m.read(d, p, root)
		if err != nil {
			m.t.Fatalf("point %d: %v", p.Manifest.Sequence, err)
		}
		differences := want.differences(got)
		if p.State != catalog.Complete {
			differences = ofPartial(differences)
		}
		for _, difference := range differences {
			m.t.Errorf("point %d, %s: %s", p.Manifest.Sequence, p.State, difference)
		}
	})
	return ids
}

// ofPartial leaves out what a checkpoint of a first backup may lack: entries, and the end of a file it stopped in.
func ofPartial(differences []string) (left []string) {
	for _, d := range differences {
		if !strings.HasSuffix(d, " is missing") && !strings.HasPrefix(d, `"large" is`) {
			left = append(left, d)
		}
	}
	return left
}
