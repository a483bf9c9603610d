//go:build linux

package ntfsdir_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"golang.org/x/sys/unix"

	"waybill/internal/ntfs"
	"waybill/internal/ntfs/ntfsdir"
	"waybill/internal/ntfs/ntfstest"
	"waybill/internal/source"
)

// open opens the volume in an image.
func open(t testing.TB, image string) (*ntfs.Volume, *source.Dir) {
	t.Helper()
	f, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	v, err := ntfs.Open(f, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	d, err := ntfsdir.Open(v)
	if err != nil {
		t.Fatal(err)
	}
	return v, d
}

// everything fills a volume with what NTFS knows.
func everything(t testing.TB, top string) {
	r := rand.New(rand.NewPCG(1, 2))
	noise := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	}
	text := func(n int) []byte {
		var b bytes.Buffer
		for b.Len() < n {
			fmt.Fprintf(&b, "line %d of %d words\n", r.IntN(1000), r.IntN(1000))
		}
		return b.Bytes()[:n]
	}
	write := func(name string, b []byte) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(top, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(top, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	set := func(name, attr string, value []byte) {
		t.Helper()
		if err := unix.Lsetxattr(filepath.Join(top, name), attr, value, 0); err != nil {
			t.Fatalf("%s of %s: %v", attr, name, err)
		}
	}
	for _, n := range []int{0, 1, 100, 600, 699, 700, 701, 750, 1024, 4095, 4096, 4097, 65536, 1 << 20, 3<<20 + 17} {
		write(fmt.Sprintf("sizes/%d", n), noise(n))
	}
	// Names.
	for _, name := range []string{strings.Repeat("n", 255), strings.Repeat("ü", 120), "𝄞 clef", "日本語", " ", "a", "A", "x:y", "back\\slash", "*?", "trailing.", "new\nline",
		"very long name with spaces.text", "é", "e\u0301", "~1", "LONGNA~1.TXT"} {
		write("names/"+name, []byte(name))
	}
	// Fragments: two files that grow in turn, on a volume where holes of one cluster are left.
	frag, other := filepath.Join(top, "fragmented"), filepath.Join(top, "other")
	for i := range 200 {
		name := frag
		if i%2 == 1 {
			name = other
		}
		f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		f.Write(noise(4096 * (1 + i%3)))
		f.Close()
	}
	// Holes.
	sparse := func(name string, size int64, at ...int64) {
		f, err := os.Create(filepath.Join(top, name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for _, off := range at {
			if _, err := f.WriteAt(noise(10000), off); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.Truncate(size); err != nil {
			t.Fatal(err)
		}
	}
	sparse("hole only", 5<<20)
	sparse("holes", 60<<20, 1<<20, 7<<20+123, 50<<20)
	sparse("hole last", 3<<20, 0)
	var many []int64
	for i := range int64(600) { // an attribute list
		many = append(many, i*32768+i%7*1024)
	}
	sparse("many holes", 40<<20, many...)
	// Compressed.
	if err := os.Mkdir(filepath.Join(top, "packed"), 0o755); err != nil {
		t.Fatal(err)
	}
	set("packed", "system.ntfs_attrib", []byte{0, 8, 0, 0})
	write("packed/text", text(1<<20+12345))
	write("packed/noise", noise(300000))
	write("packed/mixed", slices.Concat(text(200000), noise(200000), make([]byte, 500000), text(33)))
	write("packed/zeros", make([]byte, 1<<20))
	write("packed/small", text(300))
	for i := range 40 {
		write(fmt.Sprintf("packed/%d", i), slices.Concat(text(r.IntN(200000)), noise(r.IntN(5000)), text(r.IntN(100000))))
	}
	// Streams.
	write("streams/file", []byte("data"))
	write("streams/none", nil)
	set("streams/file", "user.small", []byte("a small stream"))
	set("streams/file", "user.big", noise(60000))
	set("streams/file", "user.ünï", text(5000))
	set("streams/none", "user.only", []byte("x"))
	set("streams", "user.of the directory", text(3000))
	for i := range 60 { // an attribute list
		set("streams/file", fmt.Sprintf("user.s%d", i), text(700+i))
	}
	// Hard links, and so many of them that an attribute list is needed.
	write("links/one", text(100000))
	for i := range 100 {
		name := filepath.Join(top, fmt.Sprintf("links/%s %d", strings.Repeat("another name ", 5), i))
		if err := os.Link(filepath.Join(top, "links/one"), name); err != nil {
			t.Fatal(err)
		}
	}
	// Reparse points of Windows.
	write("points/file", nil)
	set("points/file", "system.ntfs_reparse_data", symlink(`..\sizes\100`, 1))
	write("points/absolute", nil)
	set("points/absolute", "system.ntfs_reparse_data", symlink(`\??\C:\Users\x`, 0))
	for _, name := range []string{"junction", "directory link"} {
		if err := os.Mkdir(filepath.Join(top, "points", name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	set("points/junction", "system.ntfs_reparse_data", junction(`\??\D:\data`))
	set("points/directory link", "system.ntfs_reparse_data", symlink(`..\sizes`, 1))
	// Attributes, and security.
	for i, attrib := range []uint32{1, 2, 4, 0x20, 0x100, 0x2000, 0x27} {
		name := fmt.Sprintf("attributes/%d", i)
		write(name, []byte(name))
		set(name, "system.ntfs_attrib", []byte{byte(attrib), byte(attrib >> 8), 0, 0})
		set(name, "system.ntfs_crtime", []byte{byte(i), 2, 3, 4, 5, 6, 0xd5, 1})
	}
	for i := range 40 {
		name := fmt.Sprintf("security/%d", i)
		write(name, nil)
		set(name, "system.ntfs_acl", descriptor(uint32(i)))
	}
	// Many names.
	for i := range 900 {
		write(fmt.Sprintf("wide/%s%d", strings.Repeat("file", i%20), i), nil)
	}
	for i := 0; i < 900; i += 3 {
		if err := os.Remove(filepath.Join(top, fmt.Sprintf("wide/%s%d", strings.Repeat("file", i%20), i))); err != nil {
			t.Fatal(err)
		}
	}
	deep := "deep"
	for i := range 60 {
		deep += fmt.Sprintf("/%d %s", i, strings.Repeat("d", 50))
	}
	mkdirAll(t, top, deep)
}

// mkdirAll takes paths longer than the system does.
func mkdirAll(t testing.TB, top, path string) {
	fd, err := unix.Open(top, unix.O_DIRECTORY, 0)
	for _, name := range strings.Split(path, "/") {
		if err == nil {
			err = unix.Mkdirat(fd, name, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
		var next int
		next, err = unix.Openat(fd, name, unix.O_DIRECTORY, 0)
		unix.Close(fd)
		fd = next
	}
	unix.Close(fd)
}

// sameTree compares a directory of a volume with the same one that ntfs-3g has mounted, and returns how many entries there were.
func sameTree(t *testing.T, d, mounted *source.Dir, path string) int {
	t.Helper()
	var l, m source.Listing
	if err := errors.Join(d.List(&l), mounted.List(&m)); err != nil {
		t.Fatal(path, err)
	}
	var names [][]byte
	streams := map[string]int{}
	for i := range l.Len() {
		if _, ok := m.Find(l.Name(i)); !ok && bytes.Contains(l.Name(i), []byte(":")) {
			streams[string(l.Name(i))] = i
			continue
		}
		names = append(names, l.Name(i))
	}
	if len(names) != m.Len() {
		t.Errorf("%s: %d names, ntfs-3g has %d", path, len(names), m.Len())
	}
	n := l.Len()
	for _, name := range names {
		j, ok := m.Find(name)
		if !ok {
			t.Errorf("%s: ntfs-3g has no %q", path, name)
			continue
		}
		i, _ := l.Find(name)
		where := path + "/" + string(name) // as it is mounted
		var st, want source.Stat
		if err := errors.Join(d.Stat(&l, i, &st), mounted.Stat(&m, j, &want)); err != nil {
			t.Error(where, err)
			continue
		}
		sameStat(t, where, st, want)
		if again := (source.Stat{}); d.StatName(name, &again) != nil || again != st {
			t.Errorf("%s: listed %+v, looked up %+v", where, st, again)
		}
		sameXattrs(t, where, name, d, mounted, streams)
		switch st.Kind {
		case source.Regular:
			f, err := d.Open(name)
			g, err2 := mounted.Open(name)
			if err = errors.Join(err, err2); err != nil {
				t.Error(where, err)
				continue
			}
			sameContent(t, where, f, g)
			f.Close()
			g.Close()
		case source.Symlink:
			got, err := d.Readlink(name)
			if err != nil || int64(len(got)) != st.Size {
				t.Errorf("%s -> %q, %v", where, got, err)
			}
		case source.Directory:
			a, err := d.OpenDir(name)
			b, err2 := mounted.OpenDir(name)
			if err = errors.Join(err, err2); err != nil {
				t.Error(where, err)
				continue
			}
			n += sameTree(t, a, b, where)
			a.Close()
			b.Close()
		}
	}
	for name := range streams {
		t.Errorf("%s: ntfs-3g has no stream %q", path, name)
	}
	return n
}

func sameStat(t *testing.T, where string, st, want source.Stat) {
	t.Helper()
	if st.Kind != want.Kind || st.Kind == source.Regular && st.Size != want.Size || st.Inode&(1<<48-1) != want.Inode || st.MtimeSec != want.MtimeSec || st.MtimeNsec != want.MtimeNsec ||
		st.CtimeSec != want.CtimeSec || st.CtimeNsec != want.CtimeNsec || st.Kind == source.Regular && st.Nlink != want.Nlink {
		t.Errorf("%s: %+v, ntfs-3g says %+v", where, st, want)
	}
}

// sameXattrs takes the streams that ntfs-3g shows as attributes out of those that are listed.
func sameXattrs(t *testing.T, where string, name []byte, d, mounted *source.Dir, streams map[string]int) {
	t.Helper()
	list, err := d.Xattrs(name, nil)
	if err != nil {
		t.Error(where, err)
	}
	for _, x := range list {
		b := make([]byte, 70000)
		n, err := unix.Lgetxattr(where, string(x.Name), b)
		if string(x.Name) == "system.ntfs_acl" && err == nil && n < len(x.Value) {
			x.Value = x.Value[:n] // ntfs-3g leaves out what is behind the last part
		}
		if err != nil || !bytes.Equal(b[:max(n, 0)], x.Value) {
			t.Errorf("%s: %s is %x, ntfs-3g says %x, %v", where, x.Name, x.Value, b[:max(n, 0)], err)
		}
	}
	theirs, err := mounted.Xattrs(name, nil)
	if err != nil {
		t.Error(where, err)
	}
	for _, x := range theirs {
		stream, ok := strings.CutPrefix(string(x.Name), "user.")
		if !ok {
			continue
		}
		full := string(name) + ":" + stream
		if _, ok := streams[full]; !ok {
			t.Errorf("%s: the stream %q isn't listed", where, stream)
			continue
		}
		delete(streams, full)
		f, err := d.Open([]byte(full))
		if err != nil {
			t.Error(where, err)
			continue
		}
		b, err := io.ReadAll(f)
		if err != nil || !bytes.Equal(b, x.Value) {
			t.Errorf("%s: %d bytes, ntfs-3g says %d, %v", full, len(b), len(x.Value), err)
		}
		f.Close()
	}
}

// sameContent reads all of both, and what isn't a hole again.
func sameContent(t *testing.T, where string, f, g *source.File) {
	t.Helper()
	a, b, whole := make([]byte, 1<<17+4000), make([]byte, 1<<17+4000), f.Opened().Size
	for off := int64(0); ; {
		n, err := f.ReadAt(a, off)
		m, err2 := g.ReadAt(b, off)
		if n != m || err != err2 || !bytes.Equal(a[:n], b[:m]) {
			t.Errorf("%s: at %d %d bytes and %v, ntfs-3g says %d and %v", where, off, n, err, m, err2)
			return
		}
		if off += int64(n); err == io.EOF {
			break
		}
	}
	for off := int64(0); off < whole; {
		start, end, err := f.NextData(off)
		if err == io.EOF {
			start, end = whole, whole
		} else if err != nil || start < off || end <= start || end > whole {
			t.Errorf("%s: after %d there is data from %d to %d, %v", where, off, start, end, err)
			return
		}
		if !zeros(g, off, start) {
			t.Errorf("%s: from %d to %d isn't a hole", where, off, start)
		}
		off = end
	}
}

func zeros(f *source.File, from, to int64) bool {
	b := make([]byte, 1<<16)
	for from < to {
		n, err := f.ReadAt(b[:min(int64(len(b)), to-from)], from)
		if err != nil || !bytes.Equal(b[:n], make([]byte, n)) {
			return false
		}
		from += int64(n)
	}
	return true
}

// symlink makes the reparse point of a symbolic link.
func symlink(target string, flags uint32) []byte {
	name := utf16le(target)
	b := binary.LittleEndian.AppendUint32(nil, ntfs.TagSymlink)
	b = binary.LittleEndian.AppendUint32(b, uint32(12+2*len(name)))
	for _, n := range []int{0, len(name), len(name), len(name)} {
		b = binary.LittleEndian.AppendUint16(b, uint16(n))
	}
	b = binary.LittleEndian.AppendUint32(b, flags)
	return append(append(b, name...), name...)
}

// junction makes that of a junction.
func junction(target string) []byte {
	name := append(utf16le(target), 0, 0)
	b := binary.LittleEndian.AppendUint32(nil, ntfs.TagMountPoint)
	b = binary.LittleEndian.AppendUint32(b, uint32(8+len(name)+2))
	for _, n := range []int{0, len(name) - 2, len(name), 0} {
		b = binary.LittleEndian.AppendUint16(b, uint16(n))
	}
	return append(append(b, name...), 0, 0)
}

func utf16le(s string) (b []byte) {
	for _, c := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, c)
	}
	return b
}

// descriptor makes a security descriptor that lets everybody do something else for each n.
func descriptor(n uint32) []byte {
	sid := func(authority byte, sub ...uint32) []byte {
		b := []byte{1, byte(len(sub)), 0, 0, 0, 0, 0, authority}
		for _, s := range sub {
			b = binary.LittleEndian.AppendUint32(b, s)
		}
		return b
	}
	owner, everyone := sid(5, 32, 544), sid(1, 0)
	ace := binary.LittleEndian.AppendUint32([]byte{0, 0, byte(8 + len(everyone)), 0}, 0x120089|n<<4&0xff0|n>>8<<1)
	ace = append(ace, everyone...)
	acl := append([]byte{2, 0, byte(8 + len(ace)), 0, 1, 0, 0, 0}, ace...)
	b := []byte{1, 0, 4, 0x80}
	at := uint32(20)
	for _, n := range []int{len(owner), len(owner), 0, len(acl)} {
		if n == 0 {
			b = binary.LittleEndian.AppendUint32(b, 0)
			continue
		}
		b = binary.LittleEndian.AppendUint32(b, at)
		at += uint32(n)
	}
	return slices.Concat(b, owner, owner, acl)
}

func TestSameAsMounted(t *testing.T) {
	for name, args := range map[string][]string{
		"usual":          nil,
		"small clusters": {"-c", "512"},
	} {
		t.Run(name, func(t *testing.T) {
			image := ntfstest.Make(t, 256<<20, args...)
			top, unmount := ntfstest.Mount(t, image, "compression")
			everything(t, top)
			unmount()
			v, d := open(t, image)
			if state, err := v.State(); err != nil || !state.Clean() {
				t.Error("the volume is", state, err)
			}
			top, _ = ntfstest.Mount(t, image, "ro")
			mounted, err := source.OpenDir(top)
			if err != nil {
				t.Fatal(err)
			}
			defer mounted.Close()
			n := sameTree(t, d, mounted, top)
			t.Log(n, "entries")
		})
	}
}

// Files that Windows compresses as a whole are read as it shows them: what they are made of is no one's business.
func TestPackedAsAWhole(t *testing.T) {
	image := ntfstest.Make(t, 16<<20)
	top, unmount := ntfstest.Mount(t, image, "streams_interface=windows")
	const size = 340012
	for i, name := range []string{"xpress4k", "lzx", "xpress8k", "xpress16k"} {
		raw, err := os.ReadFile("../testdata/" + name)
		path := filepath.Join(top, name)
		point := binary.LittleEndian.AppendUint32(nil, ntfs.TagWOF)
		for _, n := range []uint32{16, 1, 2, 1, uint32(i)} {
			point = binary.LittleEndian.AppendUint32(point, n)
		}
		err = errors.Join(err, os.WriteFile(path, nil, 0o644), os.Truncate(path, size), os.WriteFile(path+":"+ntfs.PackedStream, raw, 0o644),
			os.WriteFile(path+":other", []byte("other"), 0o644), unix.Lsetxattr(path, source.NTFSReparse, point, 0))
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, tag := range map[string]uint32{"deduplicated": ntfs.TagDedup, "archive": ntfs.TagWOF, "cloud": 0x9000301a} {
		path := filepath.Join(top, name)
		point := append(binary.LittleEndian.AppendUint32(nil, tag), 16, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0)
		if err := errors.Join(os.WriteFile(path, nil, 0o644), os.Truncate(path, size), unix.Lsetxattr(path, source.NTFSReparse, point, 0)); err != nil {
			t.Fatal(err)
		}
	}
	unmount()
	_, d := open(t, image)
	var l source.Listing
	if err := d.List(&l); err != nil {
		t.Fatal(err)
	}
	var want []byte
	for i := range l.Len() {
		name := string(l.Name(i))
		f, err := d.Open(l.Name(i))
		switch {
		case name == "deduplicated" || name == "archive" || name == "cloud":
			if err == nil {
				t.Error(name, "could be opened")
			}
			continue
		case err != nil:
			t.Fatal(name, err)
		case strings.Contains(name, ":"):
			if !strings.HasSuffix(name, ":other") {
				t.Error(name, "is listed")
			}
			continue
		}
		b, err := io.ReadAll(f)
		if want == nil {
			want = b
		}
		if err != nil || len(b) != size || !bytes.Equal(b, want) || f.Opened().Sparse() {
			t.Errorf("%s: %d bytes, %v, %+v", name, len(b), err, f.Opened())
		}
		list, err := f.Xattrs(nil)
		if err != nil || slices.ContainsFunc(list, func(x source.Xattr) bool { return string(x.Name) == source.NTFSReparse }) {
			t.Errorf("%s: %v, %v", name, list, err)
		}
	}
	if l.Len() != 11 {
		t.Error(l.Len(), "entries")
	}
}

// A full volume where every other cluster became free: the master file table goes on in so many places that they don't fit into its own record.
func TestScatteredTable(t *testing.T) {
	image := ntfstest.Make(t, 24<<20, "-z", "1", "-c", "4096")
	top, unmount := ntfstest.Mount(t, image, "big_writes")
	make := func(dir string, size, most int) (n int) {
		if err := os.Mkdir(filepath.Join(top, dir), 0o755); err != nil {
			t.Fatal(err)
		}
		for n < most && os.WriteFile(filepath.Join(top, dir, fmt.Sprint(n)), bytes.Repeat([]byte{'x'}, size), 0o644) == nil {
			n++
		}
		return n
	}
	for n := make("data", 4096, 10000) - 1; n >= 0; n -= 2 {
		if err := os.Remove(filepath.Join(top, "data", fmt.Sprint(n))); err != nil {
			t.Fatal(err)
		}
	}
	make("empty", 0, 9000)
	unmount()
	v, d := open(t, image)
	files := 0
	err := v.Each(t.Context(), func(r *ntfs.Record) error {
		if r.FRN.Record() >= ntfs.FirstUser+3 { // behind $Quota, $ObjId and $Reparse
			files++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(ntfstest.Run(t, "ntfsinfo", "-v", "-i", "0", image), "$ATTRIBUTE_LIST") {
		t.Error("the table isn't as scattered as it should be")
	}
	n, _ := walk(d, 0, func(name string, err error) { t.Errorf("%s: %v", name, err) })
	top, _ = ntfstest.Mount(t, image, "ro")
	for _, dir := range []string{"data", "empty"} {
		list, err := os.ReadDir(filepath.Join(top, dir))
		if err != nil {
			t.Fatal(err)
		}
		n -= 1 + len(list)
		files -= 1 + len(list)
	}
	if n != 0 || files != 0 {
		t.Errorf("ntfs-3g has %d entries less, %d records less", n, files)
	}
}

func TestHibernated(t *testing.T) {
	image := ntfstest.Make(t, 8<<20)
	top, unmount := ntfstest.Mount(t, image, "big_writes")
	if err := os.WriteFile(filepath.Join(top, "hiberfil.sys"), append([]byte("HIBR"), make([]byte, 8192)...), 0o644); err != nil {
		t.Fatal(err)
	}
	unmount()
	v, _ := open(t, image)
	if state, err := v.State(); err != nil || !state.Hibernated || state.Clean() || !strings.Contains(state.String(), "hibernated") {
		t.Error(state, err)
	}
}
