package fanotify

import (
	"os"
	"path/filepath"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"waybill/incremental/journal"
)

func openFile(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

// mapped maps a page of a file, shared and writable.
func mapped(t *testing.T, path string) []byte {
	t.Helper()
	f := openFile(t, path)
	must(t, f.Truncate(4096))
	b, err := unix.Mmap(int(f.Fd()), 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	must(t, err)
	must(t, f.Close())
	t.Cleanup(func() { _ = unix.Munmap(b) }) // EINVAL if it was already
	return b
}

func unmap(t *testing.T, b []byte) {
	t.Helper()
	must(t, unix.Munmap(b))
}

func wantFile(t *testing.T, d *journal.Dirty, path string, named, read, kept bool) {
	t.Helper()
	if got := names(t, d, path); got != named {
		t.Errorf("%s: named %v, want %v", path, got, named)
	}
	f := d.Files[inode(t, path)]
	if f == nil {
		f = &journal.File{}
	}
	if f.Read != read || f.Kept != kept {
		t.Errorf("%s: read %v, kept %v, want %v, %v", path, f.Read, f.Kept, read, kept)
	}
}

// Stores to mapped memory are not told, so what is mapped is read each time, and once more when it no longer is.
func TestMapped(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			v := volume(t, kind)
			s := t.TempDir()
			start(t, Options{StateDir: s, Mounts: []string{v}})
			j := open4(t, s, v)
			write(t, v+"/dir/still", "x")
			m := mapped(t, v+"/dir/mapped")
			for range 2 {
				from := now(t, j)
				m[7]++
				wantFile(t, changed(t, j, from), v+"/dir/mapped", true, true, false)
			}
			from := now(t, j)
			must(t, os.Rename(v+"/dir/mapped", v+"/dir/renamed"))
			wantFile(t, changed(t, j, from), v+"/dir/renamed", true, true, false)
			from = now(t, j)
			m[7]++
			must(t, unix.Munmap(m))
			wantFile(t, changed(t, j, from), v+"/dir/renamed", true, true, false)
			from = now(t, j)
			d := changed(t, j, from)
			wantFile(t, d, v+"/dir/renamed", false, false, false)
			wantFile(t, d, v+"/dir/still", false, false, false)
		})
	}
}

// What is open for writing is looked at, as asynchronous writes aren't told until it is closed; their times tell.
func TestOpenForWriting(t *testing.T) {
	v, j, _ := watched(t, Options{})
	write(t, v+"/dir/other", "x")
	f := openFile(t, v+"/dir/open")
	from := now(t, j)
	wantFile(t, changed(t, j, from), v+"/dir/open", true, false, false)
	must(t, os.Link(v+"/dir/open", v+"/link"))
	from = now(t, j)
	if d := changed(t, j, from); !has(d.Links, inode(t, v+"/link")) {
		t.Error("the other name of an open file is not looked for")
	}
	must(t, os.Remove(v+"/link"))
	from = now(t, j)
	must(t, f.Chmod(0o644))
	wantFile(t, changed(t, j, from), v+"/dir/open", true, false, false)
	from = now(t, j)
	must(t, f.Close())
	wantFile(t, changed(t, j, from), v+"/dir/open", true, true, false)
	from = now(t, j)
	must(t, os.Chmod(v+"/dir/open", 0o600))
	d := changed(t, j, from)
	wantFile(t, d, v+"/dir/open", true, false, true)
	wantFile(t, d, v+"/dir/other", false, false, false)
	removed := openFile(t, v+"/dir/removed")
	must(t, os.Remove(removed.Name()))
	from = now(t, j)
	if d := changed(t, j, from); len(d.Dirs) != 0 {
		t.Errorf("a removed file is open, and there is %+v", d)
	}
}

// Who opened a file by a name that is gone writes to it by its other names: they are looked for.
func TestOpenByAnotherName(t *testing.T) {
	v, j, _ := watched(t, Options{})
	must(t, os.Mkdir(v+"/dir", 0o755))
	f, m := openFile(t, v+"/dir/open"), mapped(t, v+"/dir/mapped")
	for _, name := range []string{"open", "mapped"} {
		must(t, os.Link(v+"/dir/"+name, v+"/"+name))
		must(t, os.Remove(v+"/dir/"+name))
	}
	from := now(t, j)
	m[7]++
	d := changed(t, j, from)
	for _, name := range []string{"open", "mapped"} {
		if id := inode(t, v+"/"+name); !has(d.Links, id) {
			t.Errorf("%s is not looked for", name)
		}
	}
	if x := d.Files[inode(t, v+"/mapped")]; x == nil || !x.Read {
		t.Error("what is mapped is not read")
	}
	must(t, f.Close())
}

// What is done by a name that is gone is told by that name: the others are looked for.
func TestWriteByAnotherName(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			v := volume(t, kind)
			s := t.TempDir()
			start(t, Options{StateDir: s, Mounts: []string{v}})
			j := open4(t, s, v)
			must(t, os.Mkdir(v+"/dir", 0o755))
			written, changedMode := openFile(t, v+"/dir/written"), openFile(t, v+"/dir/mode")
			for _, name := range []string{"written", "mode"} {
				must(t, os.Link(v+"/dir/"+name, v+"/"+name))
				must(t, os.Remove(v+"/dir/"+name))
			}
			from := now(t, j)
			_, err := written.WriteString("x")
			must(t, err)
			must(t, written.Close())
			must(t, changedMode.Chmod(0o644))
			must(t, changedMode.Close())
			d := changed(t, j, from)
			for _, name := range []string{"written", "mode"} {
				if !has(d.Links, inode(t, v+"/"+name)) {
					t.Errorf("%s is not looked for", name)
				}
			}
		})
	}
}

// Asynchronous writes by Linux' own calls are told when the file is closed, and until then it is looked at.
func TestAsynchronousWrite(t *testing.T) {
	v, j, _ := watched(t, Options{})
	f := openFile(t, v+"/file")
	now(t, j)
	from, before := now(t, j), scan(t, v)
	aioWrite(t, f, []byte("asynchronous"))
	mustCover(t, before, scan(t, v), changed(t, j, from))
	from, before = now(t, j), scan(t, v)
	aioWrite(t, f, []byte("again"))
	must(t, f.Close())
	mustCover(t, before, scan(t, v), changed(t, j, from))
}

func aioWrite(t *testing.T, f *os.File, data []byte) {
	t.Helper()
	var ctx uintptr
	if _, _, errno := unix.Syscall(unix.SYS_IO_SETUP, 1, uintptr(unsafe.Pointer(&ctx)), 0); errno != 0 {
		t.Skipf("io_setup: %v", errno)
	}
	defer unix.Syscall(unix.SYS_IO_DESTROY, ctx, 0, 0)
	const pwrite = 1
	cb := &struct { // struct iocb of linux/aio_abi.h
		data          uint64
		key, rwFlags  uint32
		op            uint16
		priority      int16
		fd            uint32
		buf, n        uint64
		offset        int64
		reserved      uint64
		flags, result uint32
	}{op: pwrite, fd: uint32(f.Fd()), buf: uint64(uintptr(unsafe.Pointer(&data[0]))), n: uint64(len(data))}
	if _, _, errno := unix.Syscall(unix.SYS_IO_SUBMIT, ctx, 1, uintptr(unsafe.Pointer(&cb))); errno != 0 {
		t.Fatalf("io_submit: %v", errno)
	}
	var event [32]byte
	if _, _, errno := unix.Syscall6(unix.SYS_IO_GETEVENTS, ctx, 1, 1, uintptr(unsafe.Pointer(&event)), 0, 0); errno != 0 {
		t.Fatalf("io_getevents: %v", errno)
	}
}

// A file that a loop device is on is open in the kernel only.
func TestLoopDevice(t *testing.T) {
	v, j, _ := watched(t, Options{})
	must(t, os.Mkdir(v+"/images", 0o755))
	device := loop(t, image(t, v+"/images", "ext4"))
	from := now(t, j)
	wantFile(t, changed(t, j, from), v+"/images/ext4.img", true, false, false)
	from, before := now(t, j), scan(t, v)
	f, err := os.OpenFile(device, os.O_RDWR, 0)
	must(t, err)
	_, err = f.WriteAt([]byte("x"), 0)
	must(t, err)
	must(t, f.Sync())
	must(t, f.Close())
	mustCover(t, before, scan(t, v), changed(t, j, from))
}

// A process may see the file system at a place of its own, as in a container.
func TestOpenInAnotherRoot(t *testing.T) {
	v, j, _ := watched(t, Options{})
	must(t, os.MkdirAll(v+"/root/inner", 0o755))
	write(t, v+"/root/inner/file", "x")
	for _, dir := range []string{"/proc", "/lib64", "/usr", "/bin", "/lib"} {
		must(t, os.MkdirAll(v+"/root"+dir, 0o755))
	}
	r, w, err := os.Pipe()
	must(t, err)
	defer w.Close()
	defer r.Close()
	p := startIn(t, v+"/root", r)
	from := now(t, j)
	wantFile(t, changed(t, j, from), filepath.Join(v, "root/inner/file"), true, false, false)
	must(t, w.Close())
	must(t, p.Wait())
}
