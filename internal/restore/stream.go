package restore

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"strings"

	"waybill/internal/catalog"
)

// Streams: what NTFS has beside a file's data, or a directory's, is an entry name:stream. On Windows it becomes a stream again: it is restored as
// a file with a temporary name, and copied to where it belongs when all else in its directory is there. Elsewhere it stays
// a file beside the other, with a name that has a colon in it.

// onWindows is where names are more than names.
const onWindows = runtime.GOOS == "windows"

// A stream waits for the file or directory that it belongs to.
type stream struct{ of, name, temp string }

// streamOf takes the name of a stream's entry apart.
func streamOf(e *catalog.Entry) (of, name string, ok bool) {
	if !onWindows || e.Kind != catalog.File {
		return "", "", false
	}
	of, name, ok = strings.Cut(string(e.Name), ":")
	return of, name, ok && of != "" && name != ""
}

// systemName is what an entry is called in the target unless that is taken: a drive, C:, is a directory C on Windows.
func systemName(d *dir, name []byte) string {
	if onWindows && d.parent == nil && len(name) == 2 && name[1] == ':' {
		return string(name[:1])
	}
	return string(name)
}

// refused refuses what the system can't name.
func refused(d *dir, e *catalog.Entry) error {
	if of, name, ok := streamOf(e); ok {
		if strings.ContainsAny(name, `:/\`) {
			return errors.New("no stream can have this name")
		}
		return localName(of)
	}
	return localName(systemName(d, e.Name))
}

// beside keeps a stream until the directory is complete.
func (d *dir) beside(s stream) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.streams = append(d.streams, s)
}

// became notes that an entry is called otherwise in the target, or not there when to is empty.
func (d *dir) became(name []byte, to string) {
	if !onWindows || to == systemName(d, name) {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.others == nil {
		d.others = map[string]string{}
	}
	d.others[string(name)] = to
}

// attach gives the streams of a directory's entries to these. Those of entries that were not restored go.
func (r *run) attach(d *dir) {
	if len(d.streams) == 0 {
		return
	}
	h, err := r.open(d)
	if err != nil {
		r.report.failed(d.path(nil), fmt.Errorf("its streams: %w", err))
		return
	}
	defer r.release(d)
	for _, s := range d.streams {
		to, other := d.others[s.of]
		if !other {
			to = s.of
		}
		if to != "" {
			if err := h.attach(s.temp, to, s.name); err != nil {
				r.report.failed(d.path(bytes.Join([][]byte{[]byte(s.of), []byte(s.name)}, []byte(":"))), err)
			}
		}
		if err := h.root.Remove(s.temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
			r.report.warn(d.path(nil), err.Error())
		}
	}
	d.streams = nil
}
