package proof

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"waybill/ingest"
	"waybill/ingest/vault"
	"waybill/internal/catalog"
	"waybill/internal/domain"
	"waybill/internal/durable"
	"waybill/internal/fault"
	"waybill/internal/restore"
	"waybill/internal/treetest"
	"waybill/manifest"
	"waybill/seed"
	"waybill/seed/disk"
)

// A seeding is a machine that is seeded onto disks.
type seeding struct {
	*machine
	own  *vault.Dir // what the machine keeps of the seed
	root string
}

func newSeeding(t *testing.T, id *identity, root string) *seeding {
	t.Helper()
	s := &seeding{machine: newMachine(t, id), root: root, own: must[*vault.Dir](t)(vault.Open(scratch(t)))}
	t.Cleanup(func() { s.own.Close() })
	return s
}

// begun are the disks of the given directories that have been begun.
func (s *seeding) begun(dirs []string) (stores []domain.Store, sources []ingest.Source) {
	s.t.Helper()
	for _, dir := range dirs {
		d, err := disk.Open(dir)
		if errors.Is(err, disk.ErrNoDisk) {
			continue
		}
		if err != nil {
			s.t.Fatalf("opening disk %s: %v", dir, err)
		}
		s.t.Cleanup(func() { d.Close() })
		stores, sources = append(stores, d), append(sources, ingest.Source{Name: dir, Reader: d})
	}
	return stores, sources
}

// seed seeds onto the disks, with what the machine keeps going through cache.
func (s *seeding) seed(cache store, change func(*seed.Options), dirs ...string) (*seed.Report, error) {
	s.t.Helper()
	disks, _ := s.begun(dirs)
	d, err := s.open(s.t.Context(), s.index, append([]domain.Store{cache, s.vault}, disks...)...)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	copies := s.documents()
	delete(copies, manifest.ReceiptKeyName)
	o := &seed.Options{Disks: dirs, Domain: d, Cache: cache, Copies: copies, Key: s.id.doc.SigningKey,
		NewSet: func() manifest.ID { return "0c000000-0000-4000-8000-000000000003" }, Save: s.config(s.root)}
	if change != nil {
		change(o)
	}
	return seed.Run(s.t.Context(), o)
}

// sound checks what there is on the way: the chain in all that was begun is valid, and what its points need is there.
func (s *seeding) sound(want snapshot, dirs ...string) (ids []manifest.Digest) {
	s.t.Helper()
	disks, sources := s.begun(dirs)
	for _, source := range sources {
		// A disk that has nothing yet, or not what others have, is no reason to doubt it. Damage is.
		r, err := ingest.Verify(s.t.Context(), source, ingest.Options{})
		if r != nil && len(r.Damaged) > 0 || errors.Is(err, manifest.ErrFormat) || errors.Is(err, manifest.ErrSignature) {
			s.t.Errorf("%s: %v", source.Name, err)
		}
	}
	d, err := s.open(s.t.Context(), "", append([]domain.Store{s.own}, disks...)...)
	if err != nil {
		s.t.Fatalf("reading the disks: %v", err)
	}
	defer d.Close()
	if missing, err := d.CoverData(s.t.Context()); err != nil || len(missing) > 0 || d.Flaw != nil {
		s.t.Errorf("missing: %v, %v, %v", missing, d.Flaw, err)
	}
	s.frames = map[place][]byte{}
	for _, p := range d.Points(s.t.Context()) {
		ids = append(ids, p.Digest)
		got, err := snapshot(nil), p.Err
		if err == nil {
			got, err = s.read(d, p, s.root)
		}
		if err != nil {
			s.t.Fatalf("point %d: %v", p.Manifest.Sequence, err)
		}
		differences := want.differences(got)
		if p.State != catalog.Complete {
			differences = ofPartial(differences)
		}
		for _, difference := range differences {
			s.t.Errorf("point %d, %s: %s", p.Manifest.Sequence, p.State, difference)
		}
	}
	return ids
}

// arrived checks sealed disks: each alone, imported into the vault, and restored from either.
func (s *seeding) arrived(dirs ...string) {
	s.t.Helper()
	disks, sources := s.begun(dirs)
	for i, source := range sources {
		r, err := ingest.Verify(s.t.Context(), source, ingest.Options{})
		if err != nil || r.Label.State != disk.Sealed || r.Label.Disk != i+1 || r.Label.Disks != len(sources) {
			s.t.Errorf("%s: %+v, %v", source.Name, r, err)
			continue
		}
		for _, extra := range r.Extra { // a commit that stopped between signature and manifest left the one
			if !strings.HasSuffix(extra, ".minisig") {
				s.t.Errorf("%s: there is %s, which nothing refers to", source.Name, extra)
			}
		}
	}
	if _, err := ingest.Import(s.t.Context(), s.machine.vault, sources, ingest.Options{Host: "vault", Tool: "proof", Now: now}); err != nil {
		s.t.Errorf("importing: %v", err)
	}
	s.verified(false)
	for from, stores := range map[string][]domain.Store{"the vault": {s.vault}, "the disks": disks} {
		to := wild(s.t, scratch(s.t))
		d := must[*domain.Domain](s.t)(s.open(s.t.Context(), "", stores...))
		defer d.Close()
		if _, err := restore.Run(s.t.Context(), d, must[*domain.Point](s.t)(d.Resolve(s.t.Context(), "latest")), restore.Options{To: to}); err != nil {
			s.t.Fatalf("restoring from %s: %v", from, err)
		}
		for _, difference := range treetest.Compare(s.root, filepath.Join(to, s.root)) {
			s.t.Errorf("from %s: %s", from, difference)
		}
	}
}

// Every operation on what the machine keeps of a seed fails once. The disks are sound after it, and the
// next run goes on.
func TestEveryOperationOfASeedsCacheFails(t *testing.T) {
	t.Parallel()
	root, id := smallTree(t), newIdentity(t)
	settle()
	want := snap(t, root)
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			for k := 1; ; k++ {
				s := newSeeding(t, id, root)
				dirs := []string{scratch(t), scratch(t)}
				script := &fault.Script{At: k, When: way.when, Down: way.down}
				r, err := s.seed(fault.Store{Inner: s.own, Script: script}, nil, dirs...)
				if err != nil && !errors.Is(err, fault.Err) {
					t.Errorf("it failed with another error: %v", err)
				}
				if ids := s.sound(want, dirs...); r != nil && len(ids) < r.Manifest.Sequence {
					t.Errorf("commit %d was reported, but is not there", r.Manifest.Sequence)
				}
				if _, err := s.seed(s.own, nil, dirs...); err != nil && !(errors.Is(err, seed.ErrSeeded) && !script.Tripped()) {
					t.Errorf("the next run: %v", err)
				}
				s.arrived(dirs...)
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

// tmpfs mounts a file system of that many bytes; without the right to, the test is skipped.
func tmpfs(t *testing.T, size int64) string {
	t.Helper()
	dir := t.TempDir()
	err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size))
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		t.Skipf("no right to mount a small file system: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill takes what room a file system has left but for some bytes, until free is called.
func fill(t *testing.T, dir string, leave int64) (free func()) {
	t.Helper()
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "other's")
	f := must[*os.File](t)(os.Create(name))
	defer f.Close()
	if n := int64(st.Bavail)*st.Bsize - leave; n > 0 {
		if err := unix.Fallocate(int(f.Fd()), 0, 0, n); err != nil && !errors.Is(err, unix.ENOSPC) {
			t.Fatal(err)
		}
	}
	return func() {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}

// Somebody else fills the disk at every stage of a seed. It stops and says that the disk is full, leaves what is committed as
// it is, and goes on once there is room, or another disk.
func TestDiskFullAtEveryStage(t *testing.T) {
	root, id := smallTree(t), newIdentity(t)
	settle()
	want := snap(t, root)
	for _, another := range []bool{false, true} {
		t.Run(fmt.Sprintf("go on with another disk %v", another), func(t *testing.T) {
			for stage := 1; ; stage++ {
				if done := fullAt(t, id, root, want, stage, another); done {
					t.Logf("full at each of %d stages", stage-1)
					return
				}
				if t.Failed() {
					t.Fatalf("stage %d", stage)
				}
			}
		})
	}
}

// fullAt fills the disk at the given stage, counted by what the machine keeps and by disks to be sealed.
func fullAt(t *testing.T, id *identity, root string, want snapshot, stage int, another bool) (done bool) {
	t.Helper()
	s := newSeeding(t, id, root)
	medium := tmpfs(t, 80<<20)
	dirs := []string{filepath.Join(medium, "disk")}
	if err := os.Mkdir(dirs[0], 0o777); err != nil {
		t.Fatal(err)
	}
	free, n := func() {}, 0
	reached := func() {
		if n++; n == stage {
			free = fill(t, medium, int64(stage%4)*4096)
		}
	}
	_, err := s.seed(watched{s.own, reached}, func(o *seed.Options) { o.Sealing = reached }, dirs...)
	if n < stage && err == nil {
		s.arrived(dirs...)
		return true
	}
	if err != nil && !errors.Is(err, durable.ErrFull) {
		t.Errorf("a full disk: %v", err)
	}
	s.sound(want, dirs...)
	free()
	if another {
		free = fill(t, medium, 1<<20) // what is needed beside packs, and no more
		dirs = append(dirs, scratch(t))
	}
	_, err = s.seed(s.own, nil, dirs...)
	if errors.Is(err, seed.ErrSeeded) && another { // all packs are there, it is only to be sealed
		dirs = dirs[:1]
		_, err = s.seed(s.own, nil, dirs...)
	}
	if err != nil && !errors.Is(err, seed.ErrSeeded) {
		t.Errorf("going on: %v", err)
	}
	if s.sound(want, dirs...); !t.Failed() {
		s.arrived(dirs...)
	}
	return false
}

// watched tells of every object that is kept, before it is.
type watched struct {
	*vault.Dir
	reached func()
}

func (w watched) Put(ctx context.Context, name string, body io.ReadSeeker) error {
	w.reached()
	return w.Dir.Put(ctx, name, body)
}
