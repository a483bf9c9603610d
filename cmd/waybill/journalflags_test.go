package main

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"waybill/incremental/volumes"
	"waybill/internal/cli"
)

func TestJournalOptions(t *testing.T) {
	plain := journalFlags{mode: "auto", sweep: "auto", snapshot: "auto"}
	with := func(change func(*journalFlags)) journalFlags {
		f := plain
		change(&f)
		return f
	}
	image := func(image, as string) journalFlags {
		return with(func(f *journalFlags) { f.images = imageFlags{[]string{image}, []string{as}} })
	}
	type want struct {
		mode     volumes.Mode
		sweep    time.Duration
		snapshot bool
		images   []volumes.Image
	}
	for _, tt := range []struct {
		name  string
		flags journalFlags
		want  *want // nil: refused
	}{
		{"nothing said", plain, &want{volumes.Auto, 30 * day, true, nil}},
		{"all said", journalFlags{mode: "required", sweep: "7d", snapshot: "off"}, &want{volumes.Required, 7 * day, false, nil}},
		{"sweep now", with(func(f *journalFlags) { f.sweep = "now" }), &want{volumes.Auto, -1, true, nil}},
		{"sweep off", with(func(f *journalFlags) { f.sweep, f.mode = "off", "off" }), &want{volumes.Off, 0, false, nil}},
		{"image", image("/vm/web1.vhdx", "c:"), &want{volumes.Auto, 30 * day, true, []volumes.Image{{Path: "/vm/web1.vhdx", As: "C:"}}}},
		{"partition", image("/vm/web1.vhdx:3", "data"), &want{volumes.Auto, 30 * day, true, []volumes.Image{{Path: "/vm/web1.vhdx", Partition: 3, As: "data"}}}},
		{"a colon that is the file's", image("/vm/a:b", "C:"), &want{volumes.Auto, 30 * day, true, []volumes.Image{{Path: "/vm/a:b", As: "C:"}}}},
		{"no partition", image("/vm/a:0", "C:"), &want{volumes.Auto, 30 * day, true, []volumes.Image{{Path: "/vm/a:0", As: "C:"}}}},
		{"unknown mode", with(func(f *journalFlags) { f.mode = "always" }), nil},
		{"unknown sweep", with(func(f *journalFlags) { f.sweep = "7" }), nil},
		{"sweep of no days", with(func(f *journalFlags) { f.sweep = "0d" }), nil},
		{"sweep of negative days", with(func(f *journalFlags) { f.sweep = "-1d" }), nil},
		{"no journal, no snapshot", with(func(f *journalFlags) { f.mode = "off" }), &want{volumes.Off, 30 * day, false, nil}},
		{"no journal, but a snapshot", with(func(f *journalFlags) { f.mode, f.snapshot = "off", "on" }), &want{volumes.Off, 30 * day, true, nil}},
		{"unknown snapshot", with(func(f *journalFlags) { f.snapshot = "yes" }), nil},
		{"image without a name", with(func(f *journalFlags) { f.images.images = []string{"x"} }), nil},
		{"name without an image", with(func(f *journalFlags) { f.images.as = []string{"C:"} }), nil},
		{"name with a slash", image("x", `C:\`), nil},
		{"no name", image("x", ""), nil},
		{"name that leads up", image("x", ".."), nil},
		{"one name twice", with(func(f *journalFlags) { f.images = imageFlags{[]string{"x", "y"}, []string{"c:", "C:"}} }), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o, err := tt.flags.options("/state")
			var e *cli.Error
			if tt.want == nil {
				if !errors.As(err, &e) || e.Code != cli.Usage {
					t.Errorf("%v", err)
				}
				return
			}
			if got := (want{o.Mode, o.Sweep, o.Snapshot, o.Images}); err != nil || !reflect.DeepEqual(got, *tt.want) || o.StateDir != "/state" {
				t.Errorf("%+v, %v; want %+v", o, err, *tt.want)
			}
		})
	}
}

func TestRoots(t *testing.T) {
	images := []volumes.Image{{As: "C:"}, {As: "data"}}
	for _, tt := range []struct {
		name   string
		images []volumes.Image
		paths  []string
		want   []string // nil: refused
	}{
		{"of this machine", nil, []string{"/home/../srv"}, []string{"/srv"}},
		{"as Windows has them", images, []string{`c:\Users\ada`, `data\`}, []string{"/C:/Users/ada", "/data"}},
		{"as points have them", images, []string{"/C:/Users"}, []string{"/C:/Users"}},
		{"none of the images", images, []string{"/home"}, nil},
		{"out of the image", images, []string{`C:\..\home`}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := roots(tt.images, tt.paths)
			if (err != nil) != (tt.want == nil) || err == nil && !reflect.DeepEqual(got, tt.want) {
				t.Errorf("%q, %v; want %q", got, err, tt.want)
			}
		})
	}
	if again, err := roots(images, nil); len(again) > 0 || err != nil {
		t.Errorf("all of them, or what the last point has: %q, %v", again, err)
	}
}
