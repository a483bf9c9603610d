package disk

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"waybill/internal/durable"
	"waybill/manifest"
)

var update = flag.Bool("update", false, "write the golden files anew")

const (
	vaultID   manifest.ID = "6f1c9a52-3c1e-4a7b-9d55-0f2f8c1e7a01"
	machineID manifest.ID = "0b7a4e1c-8c55-4f0d-bb1e-5a2f9a6d3c02"
	setID     manifest.ID = "d2c4b8a0-1f3e-4c6d-8a9b-7e5f3d1c0b03"
	recipient             = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
)

var when = time.Date(2026, 11, 24, 12, 30, 5, 0, time.UTC)

func label() Label {
	return Label{Vault: vaultID, Machine: machineID, Set: setID, Disk: 1, Time: when, Host: "db1 <main>"}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is\n%s", name, got)
	}
}

// A filler fills one disk.
type filler struct {
	*Disk
	t        testing.TB
	signer   *manifest.Signer
	sequence int
	head     manifest.Digest
	packs    []manifest.Pack
	disks    int               // of the set
	lost     []manifest.Digest // that the next commit settles
}

func newFiller(t testing.TB, path string) *filler {
	t.Helper()
	return newFillerOf(t, path, label())
}

func newFillerOf(t testing.TB, path string, label Label) *filler {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "manifest", "testdata", "key.secret"))
	f := &filler{t: t, disks: 2}
	f.must(err)
	f.signer, err = manifest.ParseSigner(text)
	f.must(err)
	f.Disk, err = Create(path, label)
	f.must(err)
	t.Cleanup(func() { f.Close() })
	b, err := manifest.Vault{Vault: vaultID, Created: when, RecoveryRecipient: recipient, ReceiptKey: f.signer.Public()}.Encode()
	f.must(err)
	f.write(manifest.VaultName, b)
	b, err = manifest.Machine{Vault: vaultID, Machine: machineID, Name: "db1", Created: when, SigningKey: f.signer.Public(),
		CatalogueRecipient: recipient, Cutter: manifest.Cutter{Algorithm: "x", Min: 1, Mean: 2, Max: 3}}.Encode()
	f.must(err)
	sig, err := f.signer.Sign(b)
	f.must(err)
	f.write(manifest.MachineName(machineID), b)
	f.write(manifest.MachineSignatureName(machineID), sig)
	f.write(manifest.MachineKeyName(machineID), []byte("sealed"))
	return f
}

func (f *filler) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *filler) write(name string, b []byte) {
	f.t.Helper()
	f.must(f.Put(f.t.Context(), name, bytes.NewReader(b)))
}

// pack streams a pack onto the disk.
func (f *filler) pack(content string) {
	f.t.Helper()
	p := manifest.Pack{Name: manifest.Sum([]byte(content)), Class: manifest.Data, Size: int64(len(content)), Disk: f.label.Disk}
	file, err := f.NewPack(p.Size)
	f.must(err)
	_, err = file.Write([]byte(content))
	f.must(err)
	f.must(file.Commit(manifest.PackName(machineID, p.Name)))
	f.packs = append(f.packs, p)
}

// commit publishes the packs since the last commit.
func (f *filler) commit() {
	f.t.Helper()
	f.sequence++
	slices.SortFunc(f.packs, func(a, b manifest.Pack) int { return bytes.Compare(a.Name[:], b.Name[:]) })
	m := &manifest.Manifest{Vault: vaultID, Machine: machineID, Set: setID, Disks: f.disks, Lost: f.lost, Sequence: f.sequence, Previous: f.head, Time: when,
		Tool: "test", Packs: f.packs, Record: []byte("sealed")}
	b, err := m.Encode()
	f.must(err)
	sig, err := f.signer.Sign(b)
	f.must(err)
	f.head, f.packs, f.lost = manifest.Sum(b), nil, nil
	for range 2 { // publishing again changes nothing
		f.must(f.Publish(f.t.Context(), m, f.head, b, sig))
	}
}

func (f *filler) seal() error {
	return Seal(f.t.Context(), []*Disk{f.Disk}, f.options())
}

func (f *filler) options() SealOptions {
	return SealOptions{Key: f.signer.Public(), Disks: 2, Host: "db1", Now: when.Add(time.Hour)}
}

func (f *filler) path(name string) string { return filepath.Join(f.Path(), filepath.FromSlash(name)) }

func TestFillAndSeal(t *testing.T) {
	f := newFiller(t, t.TempDir())
	f.pack("one")
	f.commit()
	f.pack("two")
	f.pack("three")
	f.commit()
	var read atomic.Int64
	o := f.options()
	o.Read = &read
	f.must(Seal(t.Context(), []*Disk{f.Disk}, o))
	if read.Load() < 11 {
		t.Errorf("%d bytes were read back", read.Load())
	}
	for _, name := range []string{LabelName, ReadmeName, SumsName} {
		b, err := os.ReadFile(f.path(name))
		f.must(err)
		golden(t, name, b)
	}
	again, err := Open(f.Path())
	f.must(err)
	defer again.Close()
	if l := again.Label(); l.State != Sealed || l.Packs != 3 || l.Bytes != 11 || l.Disks != 2 || l.Host != "db1" || !l.Time.Equal(when.Add(time.Hour)) {
		t.Errorf("the label is %+v", l)
	}
	if _, err := again.NewPack(1); !errors.Is(err, ErrSealed) {
		t.Errorf("a pack for a sealed disk: %v", err)
	}
	if err := again.Tidy(t.Context(), func(manifest.Digest) bool { return false }); !errors.Is(err, ErrSealed) {
		t.Errorf("tidying a sealed disk: %v", err)
	}
	f.must(f.seal())
}

// TestSealOrder pins what a sealing writes, in which order: the label's state is last, and durable.
func TestSealOrder(t *testing.T) {
	f := newFiller(t, t.TempDir())
	f.pack("one")
	f.commit()
	var log strings.Builder
	f.Medium.(*directory).Trace(func(op string) {
		log.WriteString(regexp.MustCompile(`tmp-[0-9a-f]+`).ReplaceAllString(op, "tmp-x") + "\n")
	})
	f.must(f.seal())
	golden(t, "seal.golden", []byte(log.String()))
}

// TestStockTools runs the commands that README.txt gives to whoever finds the disk.
func TestStockTools(t *testing.T) {
	f := newFiller(t, t.TempDir())
	for i := range 300 {
		f.pack(fmt.Sprint("pack ", i))
	}
	f.commit()
	f.must(f.seal())
	readme, err := os.ReadFile(f.path(ReadmeName))
	f.must(err)
	for _, tool := range []string{"sha256sum", "minisign"} {
		t.Run(tool, func(t *testing.T) {
			if _, err := exec.LookPath(tool); err != nil {
				t.Skip("needs ", tool)
			}
			command := commandOf(string(readme), tool)
			run := func() ([]byte, error) {
				cmd := exec.CommandContext(t.Context(), "sh", "-c", command)
				cmd.Dir = f.Path()
				return cmd.CombinedOutput()
			}
			if out, err := run(); err != nil {
				t.Errorf("%s: %v\n%s", command, err, out)
			}
			name := manifest.ManifestName(machineID, 1)
			good, err := os.ReadFile(f.path(name))
			f.must(err)
			f.must(os.WriteFile(f.path(name), append(good, '\n'), 0o644))
			if out, err := run(); err == nil {
				t.Errorf("%s accepts a changed manifest:\n%s", command, out)
			}
			f.must(os.WriteFile(f.path(name), good, 0o644))
		})
	}
	out, err := exec.CommandContext(t.Context(), "sh", "-c", "cd "+f.Path()+" && find . -type f | wc -l && wc -l <SHA256SUMS").Output()
	f.must(err)
	var files, lines int
	fmt.Sscan(string(out), &files, &lines)
	if lines != files-3 { // the label twice, and itself
		t.Errorf("SHA256SUMS has %d lines for %d files", lines, files)
	}
}

// commandOf finds a tool's command in a text, with the lines it goes on for.
func commandOf(text, tool string) string {
	_, rest, _ := strings.Cut(text, "   "+tool)
	command := tool
	for line := range strings.Lines(rest) {
		command += line
		if !strings.HasSuffix(line, "\\\n") {
			break
		}
	}
	return command
}

func TestSealRefused(t *testing.T) {
	other, err := manifest.NewSigner()
	if err != nil {
		t.Fatal(err)
	}
	pack := func(f *filler) string { return f.path(manifest.PackName(machineID, manifest.Sum([]byte("one")))) }
	for name, test := range map[string]struct {
		harm func(f *filler) error
		want error
	}{
		"a bit flipped":           {func(f *filler) error { return os.WriteFile(pack(f), []byte("onf"), 0o644) }, ErrMedium},
		"a pack cut":              {func(f *filler) error { return os.Truncate(pack(f), 1) }, ErrMedium},
		"a pack gone":             {func(f *filler) error { return os.Remove(pack(f)) }, ErrMedium},
		"a pack in another place": {func(f *filler) error { return os.Rename(pack(f), f.path("one")) }, ErrMedium},
		"a manifest changed": {func(f *filler) error {
			return os.WriteFile(f.path(manifest.ManifestName(machineID, 1)), []byte("{}\n"), 0o644)
		}, manifest.ErrSignature},
		"another machine's key": {func(f *filler) error { f.signer = other; return nil }, ErrForeign},
	} {
		f := newFiller(t, t.TempDir())
		f.pack("one")
		f.commit()
		f.must(test.harm(f))
		if err := f.seal(); !errors.Is(err, test.want) {
			t.Errorf("%s: %v", name, err)
		}
		if f.Label().State != Filling {
			t.Errorf("%s: sealed all the same", name)
		}
	}
	empty := newFiller(t, t.TempDir())
	if err := empty.seal(); err == nil {
		t.Error("sealed a disk without a commit")
	}
}

func TestPublishAnother(t *testing.T) {
	f := newFiller(t, t.TempDir())
	f.commit()
	f.sequence, f.head = 0, manifest.Digest{}
	m := &manifest.Manifest{Vault: vaultID, Machine: machineID, Sequence: 1, Time: when.Add(time.Second), Record: []byte("x")}
	b, err := m.Encode()
	f.must(err)
	if err := f.Publish(t.Context(), m, manifest.Sum(b), b, []byte("signature")); !errors.Is(err, manifest.ErrChain) {
		t.Errorf("another commit in the same place: %v", err)
	}
}

// TestResume interrupts a filling and goes on.
func TestResume(t *testing.T) {
	dir := t.TempDir()
	f := newFiller(t, dir)
	f.pack("one")
	f.commit()
	f.pack("never committed")
	orphan := f.packs[0]
	f.must(os.WriteFile(f.path(".tmp-dead"), []byte("half"), 0o644))
	f.packs = nil

	var err error
	f.Disk, err = Open(dir)
	f.must(err)
	f.must(f.Tidy(t.Context(), func(d manifest.Digest) bool { return d == manifest.Sum([]byte("one")) }))
	for _, name := range []string{".tmp-dead", manifest.PackName(machineID, orphan.Name)} {
		if _, err := os.Stat(f.path(name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
	f.pack("two")
	f.commit()
	f.must(f.seal())
	if l := f.Label(); l.Packs != 2 {
		t.Errorf("the label is %+v", l)
	}
}

func TestCreateAndOpenRefused(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(dir); !errors.Is(err, ErrNoDisk) {
		t.Errorf("opening an empty directory: %v", err)
	}
	for _, name := range []string{"lost+found", "System Volume Information"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	d, err := Create(dir, label())
	if err != nil {
		t.Fatal(err)
	}
	d.Close()
	if _, err := Create(dir, label()); !errors.Is(err, ErrForeign) {
		t.Errorf("beginning a disk twice: %v", err)
	}
	if _, err := Create(t.TempDir(), Label{}); !errors.Is(err, manifest.ErrFormat) {
		t.Errorf("an empty label: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, LabelName), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); !errors.Is(err, manifest.ErrFormat) {
		t.Errorf("opening a disk with a damaged label: %v", err)
	}
	if _, err := Open(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("opening nothing: %v", err)
	}
}

func TestLabelRefused(t *testing.T) {
	for name, change := range map[string]func(l *Label){
		"vault":               func(l *Label) { l.Vault = "../x" },
		"no set":              func(l *Label) { l.Set = "" },
		"state":               func(l *Label) { l.State = "lost" },
		"disk 0":              func(l *Label) { l.Disk = 0 },
		"disk 10000":          func(l *Label) { l.Disk = 10000 },
		"negative disks":      func(l *Label) { l.Disks = -1 },
		"sealed, disk 2 of 1": func(l *Label) { l.State, l.Disk, l.Disks = Sealed, 2, 1 },
		"negative bytes":      func(l *Label) { l.Bytes = -1 },
		"role":                func(l *Label) { l.Role = "spare" },
		"serial of two lines": func(l *Label) { l.Serial = "a\nb" },
		"parity":              func(l *Label) { l.Parity = "lots" },
	} {
		l := label()
		l.State = Filling
		change(&l)
		if _, err := l.Encode(); !errors.Is(err, manifest.ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLabelOfParity(t *testing.T) {
	l := label()
	l.State, l.Role, l.Serial, l.Parity = Filling, RoleParity, "WD-WX12 345", "20+1"
	b, err := l.Encode()
	if err != nil || !strings.Contains(string(b), `,"role":"parity","serial":"WD-WX12 345","parity":"20+1"}`) {
		t.Errorf("%s, %v", b, err)
	}
	if again, err := ParseLabel(b); err != nil || again != l {
		t.Errorf("%+v, %v", again, err)
	}
}

func TestParseSums(t *testing.T) {
	digest := manifest.Sum(nil).String()
	sums, err := ParseSums([]byte(digest + "  a/b\n" + digest + "  README.txt\n"))
	if err != nil || len(sums) != 2 || sums[0].Name != "a/b" || sums[1].Digest != manifest.Sum(nil) {
		t.Errorf("%v, %v", sums, err)
	}
	for _, text := range []string{"\n", digest + "  a", digest + " a\n", digest + "  ../a\n", digest + "  /etc/passwd\n", digest + "  \n",
		digest[1:] + "  a\n", strings.ToUpper(digest) + "  a\n", digest + " *a\n", digest + "  a\r\n", digest + "  " + strings.Repeat("a", 1000) + "\n"} {
		if _, err := ParseSums([]byte(text)); !errors.Is(err, manifest.ErrFormat) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	l := label()
	l.State = Filling
	b, err := l.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(manifest.Sum(nil).String() + "  a/b\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if l, err := ParseLabel(b); err == nil {
			if _, err := l.Encode(); err != nil {
				t.Fatalf("a label that is read and can't be written: %v", err)
			}
		} else if !errors.Is(err, manifest.ErrFormat) {
			t.Fatalf("an error of no kind: %v", err)
		}
		if sums, err := ParseSums(b); err == nil && !bytes.Equal(encodeSums(sums), b) {
			t.Fatal("sums that are read and written differently")
		}
	})
}

// TestFull: a disk that has no room for a pack says so before the pack is begun.
func TestFull(t *testing.T) {
	dir := t.TempDir()
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("can't mount here: %v %s", err, out)
	}
	t.Cleanup(func() { exec.Command("umount", "-l", dir).Run() })
	f := newFiller(t, dir)
	if err := f.Room(400<<10, 0); !errors.Is(err, durable.ErrFull) {
		t.Errorf("a pack that would use the reserve: %v", err)
	}
	f.must(f.Room(300<<10, 50<<10))
	if err := f.Room(300<<10, 200<<10); !errors.Is(err, durable.ErrFull) {
		t.Errorf("a pack that would use what is to be kept free: %v", err)
	}
	begun, err := f.NewPack(300 << 10)
	f.must(err)
	if err := f.Room(300<<10, 0); !errors.Is(err, durable.ErrFull) {
		t.Errorf("a second pack beside one that is begun: %v", err)
	}
	begun.Abort()
	f.pack(strings.Repeat("x", 300<<10))
	if err := f.Room(300<<10, 0); !errors.Is(err, durable.ErrFull) {
		t.Errorf("a pack for which there is no room: %v", err)
	}
	f.commit()
	f.must(f.seal())
}
