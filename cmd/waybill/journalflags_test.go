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
	type want struct {
		mode     volumes.Mode
		sweep    time.Duration
		snapshot bool
	}
	for _, tt := range []struct {
		name  string
		flags journalFlags
		want  *want // nil: refused
	}{
		{"nothing said", plain, &want{volumes.Auto, 30 * day, true}},
		{"all said", journalFlags{mode: "required", sweep: "7d", snapshot: "off"}, &want{volumes.Required, 7 * day, false}},
		{"sweep now", with(func(f *journalFlags) { f.sweep = "now" }), &want{volumes.Auto, -1, true}},
		{"sweep off", with(func(f *journalFlags) { f.sweep, f.mode = "off", "off" }), &want{volumes.Off, 0, true}},
		{"unknown mode", with(func(f *journalFlags) { f.mode = "always" }), nil},
		{"unknown sweep", with(func(f *journalFlags) { f.sweep = "7" }), nil},
		{"sweep of no days", with(func(f *journalFlags) { f.sweep = "0d" }), nil},
		{"sweep of negative days", with(func(f *journalFlags) { f.sweep = "-1d" }), nil},
		{"unknown snapshot", with(func(f *journalFlags) { f.snapshot = "on" }), nil},
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
			if got := (want{o.Mode, o.Sweep, o.Snapshot}); err != nil || !reflect.DeepEqual(got, *tt.want) || o.StateDir != "/state" {
				t.Errorf("%+v, %v; want %+v", o, err, *tt.want)
			}
		})
	}
}
