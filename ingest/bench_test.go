package ingest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"waybill/ingest/vault"
	"waybill/manifest"
)

// large is a world with 512 MiB of packs on its disks.
func large(b *testing.B) *world {
	w := newEmptyWorld(b)
	w.commit(8, 64<<20)
	b.SetBytes(512 << 20)
	return w
}

func BenchmarkVerify(b *testing.B) {
	w := large(b)
	for b.Loop() {
		for n := range w.disks {
			if _, err := Verify(b.Context(), w.sources(n + 1)[0], Options{}); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkSHA256Sum is what Verify is to be compared with.
func BenchmarkSHA256Sum(b *testing.B) {
	w := large(b)
	for b.Loop() {
		if out, err := exec.Command("sh", "-c", fmt.Sprintf("find %s %s -path '*/packs/*' -type f | xargs sha256sum", w.disks[0].Path(), w.disks[1].Path())).CombinedOutput(); err != nil {
			b.Fatalf("%v %s", err, out)
		}
	}
}

func BenchmarkImport(b *testing.B) {
	w := large(b)
	for b.Loop() {
		b.StopTimer()
		w.must(os.RemoveAll(w.vault.Path()))
		w.must(os.MkdirAll(w.vault.Path(), 0o777))
		var err error
		w.vault, err = vault.Open(w.vault.Path())
		w.must(err)
		w.register(w.vault, w.signer)
		secret, err := w.vaultKey.MarshalText()
		w.must(err)
		w.put(w.vault, manifest.ReceiptKeyName, secret)
		b.StartTimer()
		if _, err := Import(b.Context(), w.vault, w.sources(1, 2), options()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCopy is what Import is to be compared with, or BenchmarkSHA256Sum if that is slower.
func BenchmarkCopy(b *testing.B) {
	w := large(b)
	to := filepath.Join(w.vault.Path(), "copy")
	for b.Loop() {
		b.StopTimer()
		w.must(os.RemoveAll(to))
		w.must(os.MkdirAll(to, 0o777))
		b.StartTimer()
		if out, err := exec.Command("cp", "-r", w.disks[0].Path(), w.disks[1].Path(), to).CombinedOutput(); err != nil {
			b.Fatalf("%v %s", err, out)
		}
	}
}
