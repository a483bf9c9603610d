package image

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"waybill/internal/ntfs/ntfstest"
)

// content is a disk of some data, in pieces of all sizes, and much of nothing.
func content(size int64) []byte {
	b := make([]byte, size)
	r := rand.New(rand.NewPCG(3, 4))
	for range 20 {
		at, n := r.Int64N(size), r.Int64N(100000)
		for i := at; i < min(at+n, size); i++ {
			if n%2 == 0 {
				b[i] = byte(r.Uint32())
			} else {
				b[i] = byte(i >> 9)
			}
		}
	}
	copy(b[size-10:], "the end of")
	return b
}

// convert has qemu-img make an image.
func convert(t testing.TB, raw []byte, format, options string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath("qemu-img"); err != nil {
		t.Skip("qemu-img isn't here: ", err)
	}
	dir := ntfstest.Temp(t)
	from, to := filepath.Join(dir, "raw"), filepath.Join(dir, "image")
	if err := os.WriteFile(from, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	args = append([]string{"convert", "-f", "raw", "-O", format}, args...)
	if options != "" {
		args = append(args, "-o", options)
	}
	ntfstest.Run(t, "qemu-img", append(args, from, to)...)
	return to
}

func TestFormats(t *testing.T) {
	raw := content(10<<20 + 4096)
	for _, test := range []struct {
		format, options string
		args            []string
		want            string
		err             error
	}{
		{format: "raw", want: "raw"},
		{format: "qcow2", want: "qcow2"},
		{format: "qcow2", options: "compat=0.10", want: "qcow2"},
		{format: "qcow2", args: []string{"-c"}, want: "qcow2"},
		{format: "qcow2", options: "cluster_size=512", want: "qcow2"},
		{format: "qcow2", options: "cluster_size=2M", want: "qcow2"},
		{format: "qcow2", options: "cluster_size=4096", args: []string{"-c"}, want: "qcow2"},
		{format: "qcow2", options: "extended_l2=on,cluster_size=128k", want: "qcow2"},
		{format: "qcow2", options: "preallocation=metadata", want: "qcow2"},
		{format: "qcow2", options: "lazy_refcounts=on", want: "qcow2"},
		{format: "qcow2", options: "compression_type=zstd", args: []string{"-c"}, err: ErrNotRead},
		{format: "vpc", options: "force_size=on", want: "VHD"},
		{format: "vpc", options: "subformat=fixed,force_size=on", want: "VHD"},
		{format: "vhdx", want: "VHDX"},
		{format: "vhdx", options: "subformat=fixed", want: "VHDX"},
		{format: "vhdx", options: "block_size=1M", want: "VHDX"},
		{format: "vmdk", err: ErrNotRead},
		{format: "vdi", err: ErrNotRead},
		{format: "qed", err: ErrNotRead},
	} {
		t.Run(strings.TrimSpace(fmt.Sprint(test.format, " ", test.options, test.args)), func(t *testing.T) {
			path := convert(t, raw, test.format, test.options, test.args...)
			img, err := Open(path)
			if test.err != nil {
				if !errors.Is(err, test.err) {
					t.Errorf("%v, not %v", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer img.Close()
			if img.Format() != test.want || img.Size() != int64(len(raw)) {
				t.Fatalf("%s of %d bytes, not %s of %d", img.Format(), img.Size(), test.want, len(raw))
			}
			sameBytes(t, img, raw)
		})
	}
}

func sameBytes(t *testing.T, img *Image, raw []byte) {
	t.Helper()
	got := make([]byte, len(raw)+1)
	if n, err := img.ReadAt(got, 0); n != len(raw) || err != io.EOF || !bytes.Equal(got[:n], raw) {
		t.Errorf("read %d bytes, %v", n, err)
	}
	r := rand.New(rand.NewPCG(5, 6))
	for range 300 {
		at := r.Int64N(int64(len(raw)))
		p := make([]byte, r.IntN(20000))
		n, err := img.ReadAt(p, at)
		want := raw[at:min(int64(len(raw)), at+int64(len(p)))]
		if !bytes.Equal(p[:n], want) || (err == io.EOF) != (len(want) < len(p)) || err != nil && err != io.EOF {
			t.Fatalf("%d bytes at %d: %d, %v", len(p), at, n, err)
		}
	}
}

// A disk that is only the change to another is refused, and so is one whose data lies elsewhere.
func TestRefused(t *testing.T) {
	base := convert(t, content(1<<20), "qcow2", "")
	over := base + ".over"
	ntfstest.Run(t, "qemu-img", "create", "-f", "qcow2", "-b", base, "-F", "qcow2", over)
	if _, err := Open(over); !errors.Is(err, ErrNotRead) || !strings.Contains(err.Error(), "merge") {
		t.Error(err)
	}
	data := base + ".data"
	ntfstest.Run(t, "qemu-img", "create", "-f", "qcow2", "-o", "data_file="+base+".raw", data, "1M")
	if _, err := Open(data); !errors.Is(err, ErrNotRead) {
		t.Error(err)
	}
}

func TestPartitions(t *testing.T) {
	if _, err := exec.LookPath("sfdisk"); err != nil {
		t.Skip("sfdisk isn't here: ", err)
	}
	for _, test := range []struct{ name, script, want string }{
		{"MBR", "label: dos\nstart=2048, size=4096, type=7\nstart=8192, size=2048, type=83\n",
			"[{1 1048576 2097152 07  } {2 4194304 1048576 83  }]"},
		{"logical", "label: dos\nstart=2048, size=2048, type=7\nstart=4096, size=20480, type=5\nstart=6144, size=2048, type=7\nstart=10240, size=4096, type=83\n",
			"[{1 1048576 1048576 07  } {5 3145728 1048576 07  } {6 5242880 2097152 83  }]"},
		{"GPT", "label: gpt\nstart=2048, size=4096, type=EBD0A0A2-B9E5-4433-87C0-68B6B72699C7, name=\"Basic data pärtition\"\nstart=10240, size=2048, type=uefi\n",
			"[{1 1048576 2097152 EBD0A0A2-B9E5-4433-87C0-68B6B72699C7 Basic data pärtition } {2 5242880 1048576 C12A7328-F81F-11D2-BA4B-00A0C93EC93B  }]"},
		{"none", "", "[{0 0 33554432   }]"},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "disk")
			if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, 32<<20)); err != nil {
				t.Fatal(err)
			}
			if test.script != "" {
				cmd := exec.Command("sfdisk", "-q", path)
				cmd.Stdin = strings.NewReader(test.script)
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
			}
			same := func(name string) {
				t.Helper()
				img, err := Open(path)
				if err != nil {
					t.Fatal(err)
				}
				defer img.Close()
				if list, err := img.Partitions(); err != nil || fmt.Sprint(list) != test.want {
					t.Errorf("%s: %v, %v, not %s", name, list, err, test.want)
				}
			}
			same("new")
			if test.name == "GPT" { // the copy does
				f, err := os.OpenFile(path, os.O_WRONLY, 0)
				if err == nil {
					_, err = f.WriteAt(make([]byte, 100), 512)
				}
				if err = errors.Join(err, f.Close()); err != nil {
					t.Fatal(err)
				}
				same("the first table lost")
			}
		})
	}
}
