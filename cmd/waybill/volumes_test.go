package main

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"waybill/internal/catalog"
	"waybill/internal/cli"
)

func TestFound(t *testing.T) {
	optimised := volumeLine{Path: "/", Mode: catalog.Optimised, Journal: "btrfs"}
	wrapped := volumeLine{Path: "C:", Mode: catalog.Unoptimised, Journal: "usn", Reason: "journal wrapped"}
	enumerated := volumeLine{Path: "C:", Mode: catalog.Optimised, Journal: "usn", Reason: "journal wrapped: files found by their last USN"}
	sweep := volumeLine{Path: "/home", Mode: catalog.Unoptimised, Journal: "fanotify", Reason: "swept, as was asked for", Misses: 3}
	sound := volumeLine{Path: "/srv", Mode: catalog.Unoptimised, Journal: "fanotify", Reason: "swept, as was asked for"}
	for _, tt := range []struct {
		name, mode, want string
		volumes          []volumeLine
	}{
		{"first", "first", "because", []volumeLine{wrapped}},
		{"healed", catalog.Healed, "heal, because", []volumeLine{optimised}},
		{"journals not asked", "scan", "unoptimised, because", nil},
		{"all optimised", "scan", "optimised", []volumeLine{optimised, optimised}},
		{"all enumerated", "optimised", "optimised, journal wrapped: files found by their last USN", []volumeLine{enumerated}},
		{"one enumerated", "optimised", "optimised", []volumeLine{optimised, enumerated}},
		{"one scanned", "scan", "unoptimised, journal wrapped", []volumeLine{wrapped}},
		{"all scanned for one reason", "scan", "unoptimised, journal wrapped", []volumeLine{wrapped, wrapped}},
		{"all scanned for several reasons", "scan", "unoptimised, 3 changes missed", []volumeLine{wrapped, sweep}},
		{"a sweep that found nothing", "scan", "unoptimised, swept, as was asked for; nothing was missed", []volumeLine{sound}},
		{"some scanned", "scan", "optimised on 1 of 3 volumes, 3 changes missed", []volumeLine{wrapped, optimised, sweep}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := found(tt.mode, "because", tt.volumes); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

// volumesPoint is a point of a machine with an optimised volume, and one whose agent had missed something.
func volumesPoint() *catalog.Point {
	at := time.Date(2026, 6, 20, 3, 0, 0, 0, time.Local)
	return &catalog.Point{Mode: "scan", Volumes: []catalog.Volume{
		{Path: "/", Mode: catalog.Optimised, Journal: "btrfs", Cursor: &catalog.JournalCursor{Kind: "btrfs"}, Scanned: &at},
		{Path: "/home", Mode: catalog.Unoptimised, Journal: "fanotify", Reason: "agent was not running from 03:00 to 03:10", Missed: []string{`/home/a`}, Misses: 3},
	}}
}

func TestWriteVolumes(t *testing.T) {
	lines := newVolumeLines(volumesPoint())
	var b bytes.Buffer
	writeVolumes(&b, append(lines, volumeLine{Path: "/C:", Mode: catalog.Optimised, Journal: "usn", Reason: "journal wrapped: files found by their last USN"}))
	want := `  /      optimised    btrfs journal
  /home  unoptimised  agent was not running from 03:00 to 03:10
  /C:    optimised    usn journal, journal wrapped: files found by their last USN
`
	if b.String() != want {
		t.Errorf("%s", b.String())
	}
	b.Reset()
	writeVolumes(&b, lines[:1])
	if b.Len() > 0 {
		t.Errorf("of one volume: %s", b.String())
	}
	d := &pointDetail{pointLine: pointLine{Mode: "scan", Volumes: lines, Stats: &catalog.Stats{}}}
	d.write(&b)
	_, text, _ := strings.Cut(b.String(), "stored\n")
	want = `changes         optimised on 1 of 2 volumes, 3 changes missed
volume          /  optimised    btrfs journal
                all of it was looked at last on 2026-06-20 03:00:00
volume          /home  unoptimised  agent was not running from 03:00 to 03:10
                a start of the machine costs one such look; if it was none: ` + "`systemctl enable --now waybill-agent`" + `
                the next backup will look at all of it: there was no journal to begin from
                missed: /home/a
                missed: 2 more
`
	if text != want {
		t.Errorf("%s", text)
	}
}

// What a journal missed is listed, and is an error of its own.
func TestMissed(t *testing.T) {
	var b bytes.Buffer
	a := &app{out: &cli.Output{Stdout: io.Discard, Stderr: &b}}
	var e *cli.Error
	if err := a.missed(volumesPoint()); !errors.As(err, &e) || e.Code != cli.Incident {
		t.Errorf("%v", err)
	}
	if want := "warning: /home/a had changed, and the fanotify journal of /home had not named it\n"; b.String() != want {
		t.Errorf("%s", b.String())
	}
	if err := a.missed(&catalog.Point{}); err != nil {
		t.Error(err)
	}
}
