package ingest

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"waybill/manifest"
)

// written adds what the machine notes of a disk.
func (w *world) written(disk int, events ...manifest.Event) {
	w.t.Helper()
	for _, e := range events {
		_, err := manifest.AppendCustody(context.Background(), w.disks[disk-1], manifest.Custody{Vault: vaultID, Machine: machineID, Set: setID, Disk: disk,
			Event: e, Time: when, Host: "db1", Packs: 4}, w.signer)
		w.must(err)
	}
}

// log is a disk's custody log, as the events' names.
func (w *world) log(r manifest.Reader, disk int) (events []string) {
	w.t.Helper()
	log, err := manifest.ReadCustody(context.Background(), r, machineID, setID, disk, w.signer.Public(), w.vaultKey.Public())
	w.must(err)
	for _, e := range log {
		events = append(events, string(e.Event))
	}
	return events
}

func (w *world) checkLog(r manifest.Reader, disk int, want string) {
	w.t.Helper()
	if got := strings.Join(w.log(r, disk), " "); got != want {
		w.t.Errorf("the log of disk %d: %s, want %s", disk, got, want)
	}
}

func TestCustody(t *testing.T) {
	w := newWorld(t)
	w.written(1, manifest.EventWritten, manifest.EventSealed)
	r, err := Import(t.Context(), w.vault, w.sources(1, 2), options())
	w.must(err)
	const all = "written sealed received verified imported"
	w.checkLog(w.vault, 1, all)
	w.checkLog(w.disks[0], 1, all)
	w.checkLog(w.vault, 2, "received verified imported")
	rec := r.Machines[0].Receipt
	if !slices.Equal(rec.Arrived, []int{1, 2}) || len(rec.Custody) != 2 || rec.Custody[0].Number != 5 || rec.Custody[1].Number != 3 || len(r.Machines[0].Warnings) != 0 {
		t.Errorf("%+v", r.Machines[0])
	}
	log, err := manifest.ReadCustody(t.Context(), w.vault, machineID, setID, 1, w.signer.Public(), w.vaultKey.Public())
	if err != nil || log[4].Packs != 4 || log[4].Host != "vault1" || log[4].Digest != rec.Custody[0].Digest {
		t.Errorf("%+v, %v", log, err)
	}

	_, err = Import(t.Context(), w.vault, w.sources(1), options())
	w.must(err)
	w.checkLog(w.vault, 1, all)
	for range 2 { // a note is noted once
		o := options()
		o.Note = "UPS 1Z999"
		_, err = Import(t.Context(), w.vault, w.sources(1), o)
		w.must(err)
		w.checkLog(w.disks[0], 1, all+" received")
	}
	w.written(1, manifest.EventErased, manifest.EventWritten) // and back it comes
	_, err = Import(t.Context(), w.vault, w.sources(1), options())
	w.must(err)
	w.checkLog(w.vault, 1, all+" received erased written received imported")
	w.checkVault(0)
	w.seal(w.disks[0])
	w.written(1, manifest.EventSealed) // after SHA256SUMS
	if r, err := Verify(t.Context(), w.sources(1)[0], Options{}); err != nil || r.Verdict() != Whole || len(r.Extra) != 0 {
		t.Errorf("the disk: %+v, %v", r, err)
	}
}

// readOnly is a source that can't be written.
type readOnly struct{ manifest.Reader }

// failing is one that says so when it is tried.
type failing struct{ Store }

func (failing) Put(context.Context, string, io.ReadSeeker) error { return fs.ErrPermission }

// A disk that can't be written keeps the log that it came with; the vault's goes on.
func TestCustodyReadOnly(t *testing.T) {
	for name, test := range map[string]struct {
		medium   func(s Store) manifest.Reader
		warnings int
	}{
		"no writing":    {func(s Store) manifest.Reader { return readOnly{s} }, 0},
		"writing fails": {func(s Store) manifest.Reader { return failing{s} }, 1},
	} {
		w := newWorld(t)
		w.written(1, manifest.EventWritten)
		sources := w.sources(1, 2)
		sources[0].Reader = test.medium(w.disks[0])
		r, err := Import(t.Context(), w.vault, sources, options())
		if err != nil || len(r.Machines[0].Warnings) != test.warnings {
			t.Errorf("%s: %v, %v", name, r.Machines[0].Warnings, err)
		}
		w.checkLog(w.vault, 1, "written received verified imported")
		w.checkLog(w.disks[0], 1, "written")
		_, err = Import(t.Context(), w.vault, w.sources(1), options())
		w.must(err)
		w.checkLog(w.disks[0], 1, "written received verified imported")
	}
}

// A log that somebody changed is not believed, and not carried into the vault.
func TestCustodyForged(t *testing.T) {
	for name, damage := range map[string]func(w *world, entry string) error{
		"changed": func(w *world, entry string) error { w.flip(entry); return nil },
		"gone":    func(w *world, entry string) error { return os.Remove(entry) },
	} {
		w := newWorld(t)
		w.written(1, manifest.EventWritten, manifest.EventSealed, manifest.EventWritten)
		entry := manifest.CustodyName(manifest.Custody{Machine: machineID, Set: setID, Disk: 1, Number: 2})
		w.must(damage(w, filepath.Join(w.disks[0].Path(), filepath.FromSlash(entry))))
		logs, err := CustodyLogs(t.Context(), w.sources(1)[0], "")
		if err != nil || len(logs) != 1 || len(logs[0].Bad) == 0 || logs[0].Bad[0].Number != 2 || logs[0].Entries[0].Number != 1 {
			t.Errorf("%s: %+v, %v", name, logs, err)
		}
		if r, err := Verify(t.Context(), w.sources(1)[0], Options{}); err == nil || r.Verdict() != Damaged {
			t.Errorf("%s: verify: %v", name, err)
		}
		r, err := Import(t.Context(), w.vault, w.sources(1, 2), options())
		if len(manifest.CustodyErrors(err)) == 0 || r.Machines[0].Receipt.Imported != 7 {
			t.Errorf("%s: import: %v", name, err)
		}
		w.checkLog(w.vault, 1, "written received verified imported")
		if w.checkVault(0); len(r.Machines[0].Warnings) == 0 {
			t.Errorf("%s: nobody was told that the logs differ", name)
		}
	}
}

// Packs that a later commit settles are neither missed nor wanted; what is there of them is imported.
func TestImportLost(t *testing.T) {
	w := newWorld(t)
	p, path := w.pack(1)
	_, other := w.pack(2)
	w.must(os.Remove(path))
	w.flip(other)
	m := w.next()
	for _, p := range w.packs {
		m.Lost = append(m.Lost, p.Name)
	}
	slices.SortFunc(m.Lost, func(a, b manifest.Digest) int { return slices.Compare(a[:], b[:]) })
	w.publish(w.vault, m) // it came over the network
	r, err := Import(t.Context(), w.vault, w.sources(1, 2), options())
	if err != nil || r.Machines[0].Receipt.Imported != 5 || len(r.Machines[0].Receipt.Missing) != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	v, err := Verify(t.Context(), Source{"vault", w.vault}, Options{})
	if err != nil || v.Packs != 5 || v.Verdict() != Whole {
		t.Errorf("%+v, %v", v, err)
	}
	if _, err := w.vault.Size(t.Context(), manifest.PackName(machineID, p.Name)); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
