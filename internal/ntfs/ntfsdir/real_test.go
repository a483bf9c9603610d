package ntfsdir_test

import (
	"bytes"
	"compress/gzip"
	"crypto/md5"
	"fmt"
	"io"
	"maps"
	"os"
	"strings"
	"testing"

	"waybill/internal/ntfs"
	"waybill/internal/ntfs/image"
	"waybill/internal/ntfs/ntfsdir"
	"waybill/internal/source"
)

// Volumes that Windows made. What is in their files, sleuthkit's icat told.
func TestRealVolumes(t *testing.T) {
	const bin = "$RECYCLE.BIN/S-1-5-21-2378245050-552909339-522783033-1001/desktop.ini"
	const svi = "System Volume Information/"
	for name, want := range map[string]map[string]string{
		"gontfs_test.ntfs.dd.gz": {
			bin: "a526b9e7c716b3489d8cc062fbce4005",
			"Folder A/Folder B/Hello world text document.txt":             "86fb269d190d2c85f6e0468ceca42a20",
			"Folder A/Folder B/Hello world text document.txt:goodbye.txt": "05b17fc8984afcfc62e3aaa51452c735",
			svi + "IndexerVolumeGuid":                                     "d28f0e16d4bdc571394fac441e66b87b",
			svi + "WPSettings.dat":                                        "85d05126d2720f8a8a484d09d7807adf",
			"ones.bin":                                                    "b6ca6d9c1986ff7fcd0467cf50b5be85",
		},
		"plaso_vsstest.qcow2": {
			svi + "{3808876b-c176-4e48-b7ae-04046e6cc752}":                                       "fcd6bcb56c1689fcef28b57c22475bad",
			svi + "{600f0b69-5bdf-11e3-9d6c-005056c00008}{3808876b-c176-4e48-b7ae-04046e6cc752}": "8417b04c761b855ce0374fb819c0704f",
			svi + "{600f0b6d-5bdf-11e3-9d6c-005056c00008}{3808876b-c176-4e48-b7ae-04046e6cc752}": "8637c0e6d2f6494b905d21f7151b98a1",
			"another_file": "d54ff73404ed6041a3bd66850b061bff",
			"password.txt": "39cb097008d17660abd0539891a672af",
			"syslog.gz":    "69075a6252d60c09086e2f247aa07203",
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := map[string]string{}
			hashes(t, openReal(t, name), "", got)
			if !maps.Equal(got, want) {
				t.Errorf("%v,\nnot %v", got, want)
			}
		})
	}
}

func openReal(t *testing.T, name string) *source.Dir {
	t.Helper()
	path := "/work/shared/fixtures/usn/" + name
	b, err := os.ReadFile(path)
	if err != nil {
		t.Skip("the real volumes aren't here: ", err)
	}
	if strings.HasSuffix(name, ".gz") {
		z, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if b, err = io.ReadAll(z); err != nil {
			t.Fatal(err)
		}
	}
	img, err := image.New(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	part, err := img.Volume(0)
	if err != nil {
		t.Fatal(err)
	}
	v, err := ntfs.Open(part, part.Size())
	if err != nil {
		t.Fatal(err)
	}
	d, err := ntfsdir.Open(v)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// hashes reads all files, each of which must have its attributes.
func hashes(t *testing.T, d *source.Dir, path string, into map[string]string) {
	var l source.Listing
	if err := d.List(&l); err != nil {
		t.Fatal(path, err)
	}
	var st source.Stat
	for i := range l.Len() {
		name := string(l.Name(i))
		if err := d.Stat(&l, i, &st); err != nil {
			t.Error(path+name, err)
		}
		if list, err := d.Xattrs(l.Name(i), nil); err != nil || len(list) < 3 && !strings.Contains(name, ":") {
			t.Error(path+name, list, err)
		}
		if st.Kind == source.Directory {
			sub, err := d.OpenDir(l.Name(i))
			if err != nil {
				t.Fatal(path+name, err)
			}
			hashes(t, sub, path+name+"/", into)
			continue
		}
		f, err := d.Open(l.Name(i))
		if err != nil {
			t.Error(path+name, err)
			continue
		}
		h := md5.New()
		if _, err := io.Copy(h, f); err != nil {
			t.Error(path+name, err)
		}
		into[path+name] = fmt.Sprintf("%x", h.Sum(nil))
	}
}
