package save_test

import (
	"os"
	"strings"
	"testing"

	"waybill/internal/catalog"
	"waybill/internal/save"
	"waybill/manifest"
)

// whileReading runs a save during which change is called each time a chunk of data has been read and is asked for, and how
// often it was. One worker reads, so what it reads stands still meanwhile.
func (m *memory) whileReading(root string, change func(n int)) *save.Result {
	m.t.Helper()
	n := 0
	m.asked = func(class manifest.Class) {
		if class == manifest.Data {
			n++
			change(n)
		}
	}
	defer func() { m.asked = nil }()
	return m.save(func(c *save.Config) { c.Readers = 1 }, root)
}

// sizes of files: one that is read whole, one in parts.
var sizes = map[string]int{"small": 50 << 10, "large": 3 << 20}

func TestFileThatNeverStandsStill(t *testing.T) {
	for name, size := range sizes {
		t.Run(name, func(t *testing.T) {
			m, root := newMemory(t), t.TempDir()
			path := root + "/log"
			write(t, path, noise(size, 1))
			r := m.whileReading(root, func(n int) { add(t, path, "one line more\n") })
			got, now := m.files(r.Point, root)["log"], readFile(t, path)
			if got.Flags&catalog.Changed == 0 {
				t.Error("it isn't marked as changed while it was read")
			}
			if r.Point.ProblemCount != 1 || !strings.HasSuffix(r.Point.Problems[0].Path, "/log") || !strings.Contains(r.Point.Problems[0].Problem, "changed") {
				t.Errorf("problems: %+v", r.Point.Problems)
			}
			if !strings.HasPrefix(now, got.content) || len(got.content) < size || got.Size != int64(len(got.content)) {
				t.Errorf("%d bytes were saved of size %d, the file has %d", len(got.content), got.Size, len(now))
			}
			// The next run reads it again, though its stat may be the same.
			r = m.save(nil, root)
			if got := m.files(r.Point, root)["log"]; got.content != now || got.Flags&unsure != 0 || r.Point.ProblemCount != 0 {
				t.Errorf("at rest: flags %v, problems %+v", got.Flags, r.Point.Problems)
			}
		})
	}
}

func TestFileThatChangesOnce(t *testing.T) {
	changes := map[string]func(t *testing.T, path string, size int){
		"grows":   func(t *testing.T, path string, _ int) { add(t, path, "more") },
		"shrinks": func(t *testing.T, path string, size int) { truncate(t, path, int64(size/3)) },
		"empty":   func(t *testing.T, path string, _ int) { truncate(t, path, 0) },
		"in place": func(t *testing.T, path string, size int) {
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err == nil {
				_, err = f.WriteAt([]byte("changed"), int64(size/2))
			}
			if err == nil {
				err = f.Close()
			}
			if err != nil {
				t.Fatal(err)
			}
		},
		"grows a lot": func(t *testing.T, path string, _ int) { add(t, path, string(noise(1<<20, 5))) },
		"gets a hole": func(t *testing.T, path string, size int) { truncate(t, path, int64(size+5<<20)) },
	}
	for name, size := range sizes {
		for change, do := range changes {
			t.Run(name+" "+change, func(t *testing.T) {
				m, root := newMemory(t), t.TempDir()
				write(t, root+"/file", noise(size, 1))
				r := m.whileReading(root, func(n int) {
					if n == 1 {
						do(t, root+"/file", size)
					}
				})
				if got := m.files(r.Point, root)["file"]; got.Flags&unsure != 0 || r.Point.ProblemCount != 0 {
					t.Errorf("flags %v, problems %+v", got.Flags, r.Point.Problems)
				}
				m.same(r.Point, root)
			})
		}
	}
}

// A checkpoint amid a file that then changes keeps nothing of it that doesn't belong to what it is later.
func TestFileThatChangesBetweenCheckpointAndResume(t *testing.T) {
	m, root := newMemory(t), t.TempDir()
	before := noise(8<<20, 1)
	write(t, root+"/file", before)
	m.publishing = func(c save.Commit) error {
		if c.Manifest.Sequence == 2 {
			return errRefused
		}
		return nil
	}
	if _, err := m.try(t.Context(), func(c *save.Config) { c.CheckpointBytes, c.Readers = 2<<20, 1 }, root); err == nil {
		t.Fatal("it was not interrupted")
	}
	partial := m.files(m.last.Point, root)["file"]
	if n := len(partial.content); n < 2<<20 || n == len(before) || partial.Flags&catalog.Partial == 0 || partial.content != string(before[:n]) {
		t.Fatalf("the checkpoint has %d bytes of the file, flags %v", n, partial.Flags)
	}
	m.publishing = nil
	after := noise(8<<20, 2)
	write(t, root+"/file", after)
	r := m.save(nil, root)
	m.same(r.Point, root)
	if r.Point.Stats.ReadBytes < 8<<20 {
		t.Errorf("only %d bytes were read", r.Point.Stats.ReadBytes)
	}
}

func add(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(text)
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

func truncate(t *testing.T, path string, size int64) {
	t.Helper()
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// unsure are the flags of an entry that is not what it should be.
const unsure = catalog.Changed | catalog.Partial | catalog.Unreadable
