package source

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func TestListingSorts(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	random := func(n, length, letters int) (all []string) {
		for range n {
			b := make([]byte, 1+r.IntN(length))
			for i := range b {
				b[i] = byte(1 + r.IntN(letters))
			}
			all = append(all, string(b))
		}
		return all
	}
	numbered := func(n int, format string) (all []string) {
		for i := range n {
			all = append(all, fmt.Sprintf(format, i*7919%n))
		}
		return all
	}
	for name, names := range map[string][]string{
		"none":         nil,
		"one":          {"x"},
		"dots":         {"...", ".a", "..a", "a.", "\x01"},
		"prefixes":     {"aaaaaaaab", "aaaaaaaa", "aaaaaaa", "aaaaaaaaa", "aaaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaa", "a"},
		"high":         {"\xff\xff\xff\xff\xff\xff\xff\xff", "\xff\xff\xff\xff\xff\xff\xff\xff\xff", "\xff", "\x7f", "a"},
		"longest":      {strings.Repeat("x", 255), strings.Repeat("x", 254), strings.Repeat("x", 254) + "a"},
		"random":       random(20_000, 30, 255),
		"few letters":  random(20_000, 40, 2),
		"numbered":     numbered(20_000, "photograph-number-%09d.jpg"),
		"long, common": numbered(5_000, strings.Repeat("prefix", 40)+"%06d"),
	} {
		t.Run(name, func(t *testing.T) {
			slices.Sort(names)
			names = slices.DeleteFunc(slices.Compact(names), func(s string) bool { return s == "." || s == ".." })
			var l Listing
			for range 2 {
				l.reset()
				record(&l, shuffled(r, names))
				l.sort()
				if l.Len() != len(names) {
					t.Fatalf("%d entries, want %d", l.Len(), len(names))
				}
				for i, want := range names {
					if got := l.Name(i); string(got) != want || l.Inode(i) != uint64(len(want)) || l.Kind(i) != Regular {
						t.Fatalf("entry %d is %q, inode %d, kind %d, want %q", i, got, l.Inode(i), l.Kind(i), want)
					}
				}
			}
		})
	}
}

// TestListingOfTwins: a file system that gives a name twice must not keep us forever, and nobody wants to know.
func TestListingOfTwins(t *testing.T) {
	var l Listing
	for _, name := range []string{"a", "12345678", "1234567890", strings.Repeat("x", 64)} {
		l.reset()
		record(&l, []string{name, name + "1", name, name})
		l.sort()
		if l.Len() != 2 || string(l.Name(0)) != name || string(l.Name(1)) != name+"1" {
			t.Errorf("%q: %d entries", name, l.Len())
		}
	}
}

func TestListingAllocatesNothing(t *testing.T) {
	d := open(t, wideDir(t, 1000))
	var l Listing
	var st Stat
	n := testing.AllocsPerRun(10, func() {
		if err := d.List(&l); err != nil {
			t.Fatal(err)
		}
		for i := range l.Len() {
			if err := d.Stat(&l, i, &st); err != nil {
				t.Fatal(err)
			}
		}
	})
	if n > 0 && runtime.GOOS == "linux" {
		t.Errorf("%v allocations for 1000 entries", n)
	}
}

func BenchmarkSort(b *testing.B) {
	for _, n := range []int{100, 1_000_000} {
		for _, format := range []string{"%d", "file-%09d.txt"} {
			b.Run(fmt.Sprintf("%d of %s", n, format), func(b *testing.B) {
				var names []string
				for i := range n {
					names = append(names, fmt.Sprintf(format, i))
				}
				var l Listing
				record(&l, shuffled(rand.New(rand.NewPCG(1, 2)), names))
				items := slices.Clone(l.items)
				for b.Loop() {
					copy(l.items, items)
					l.sort()
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/name")
			})
		}
	}
}

func shuffled(r *rand.Rand, names []string) []string {
	names = slices.Clone(names)
	r.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	return names
}

// record writes directory records as the system does: padded with what happens to be there. The inode is the name's length.
func record(l *Listing, names []string) {
	b, n := l.room(), 0
	for _, name := range append([]string{".", ".."}, names...) {
		size := (recordHead + len(name) + 1 + 7) &^ 7
		if n+size > len(b) {
			l.used(n)
			b, n = l.room(), 0
		}
		for i := n; i < n+size; i++ {
			b[i] = 0xee
		}
		binary.NativeEndian.PutUint64(b[n:], uint64(len(name)))
		binary.NativeEndian.PutUint16(b[n+16:], uint16(size))
		b[n+18] = 8
		copy(b[n+recordHead:], name+"\x00")
		n += size
	}
	l.used(n)
}

// tree makes directories of small files, in memory where there is a place for it.
func tree(b testing.TB, dirs, files int) string {
	b.Helper()
	root, err := os.MkdirTemp("/dev/shm", "waybill-source-")
	if err != nil {
		root = b.TempDir()
	}
	b.Cleanup(func() { os.RemoveAll(root) })
	for d := range dirs {
		dir := filepath.Join(root, fmt.Sprintf("directory-%04d", d))
		if err := os.Mkdir(dir, 0o755); err != nil {
			b.Fatal(err)
		}
		for i := range files {
			write(b, filepath.Join(dir, fmt.Sprintf("file-%06d.txt", i*7919%files)), make([]byte, 100+i%4000))
		}
	}
	return root
}

func wideDir(t testing.TB, files int) string {
	return filepath.Join(tree(t, 1, files), "directory-0000")
}
