package main

import (
	"bytes"
	"testing"
	"time"

	"waybill/incremental/journal"
	"waybill/incremental/volumes"
	"waybill/internal/catalog"
)

func TestJournalLine(t *testing.T) {
	at := time.Date(2026, 7, 1, 3, 0, 0, 0, time.Local)
	swept := at.AddDate(0, 0, -11)
	last := &catalog.Point{Ended: at, Volumes: []catalog.Volume{{Path: "/", Mode: catalog.Optimised, Scanned: &swept},
		{Path: "/home", Mode: catalog.Unoptimised, Reason: "journal wrapped", Scanned: &at}}}
	for _, tt := range []struct {
		name   string
		status volumes.VolumeStatus
		want   string
	}{
		{"no journal", volumes.VolumeStatus{Path: "/mnt/nas", FileSystem: "nfs4", Gap: "the file system keeps no change journal"}, `
/mnt/nas  nfs4
  journal      none
  next backup  unoptimised: the file system keeps no change journal
`},
		{"all is well", volumes.VolumeStatus{Path: "/", FileSystem: "btrfs", Status: journal.Status{Kind: "btrfs"}}, `
/  btrfs
  journal      btrfs
  next backup  optimised: 0 directories to look at
  last backup  2026-07-01 03:00:00, optimised
  last scan    2026-06-20 03:00:00
`},
		{"no agent", volumes.VolumeStatus{Path: "/home", FileSystem: "ext4", Status: journal.Status{Kind: "fanotify"}, Gap: "the agent does not run"}, `
/home  ext4
  journal      fanotify
  next backup  unoptimised: the agent does not run
               start it: ` + "`systemctl enable --now waybill-agent`, or see `waybill help agent`" + `
  last backup  2026-07-01 03:00:00, unoptimised: journal wrapped
`},
		{"large enough", volumes.VolumeStatus{Path: "/D:", FileSystem: "NTFS", Status: journal.Status{Kind: "usn", Size: 512 << 20, Next: 400 << 20, Since: at}, FillPerDay: 20 << 20, DaysLeft: 25.6, Changed: 12}, `
/D:  NTFS
  journal      usn, up to 537 MB, since 2026-07-01 03:00:00
  next backup  optimised: 12 directories to look at
  filled by    21.0 MB a day: it holds 25.6 days
`},
		{"just begun", volumes.VolumeStatus{Path: "/srv", FileSystem: "xfs", Status: journal.Status{Kind: "fanotify", Size: 64 << 20, Next: 1 << 20, Since: at}, FillPerDay: 1 << 30, DaysLeft: 0.1}, `
/srv  xfs
  journal      fanotify, up to 67.1 MB, since 2026-07-01 03:00:00
  next backup  optimised: 0 directories to look at
`},
		{"too small", volumes.VolumeStatus{Path: "/C:", FileSystem: "NTFS", Status: journal.Status{Kind: "usn", Size: 32 << 20}, FillPerDay: 44_000_000, DaysLeft: 0.7626, Changed: 845, How: "journal wrapped: files found by their last USN"}, `
/C:  NTFS
  journal      usn, up to 33.6 MB
  next backup  optimised: 845 directories to look at; journal wrapped: files found by their last USN
               it is too small: at 44.0 MB a day it holds 18 h 18 min, and a longer pause between backups means a look at the whole file table; enlarge it: ` + "`waybill journal resize C: --size 1024MiB`" + `
  filled by    44.0 MB a day: it holds 18 h 18 min
`},
		{"an agent's log that is too small", volumes.VolumeStatus{Path: "/srv", FileSystem: "xfs", Status: journal.Status{Kind: "fanotify", Size: 64 << 20}, FillPerDay: 10 << 20, DaysLeft: 6.4, Changed: 1}, `
/srv  xfs
  journal      fanotify, up to 67.1 MB
  next backup  optimised: 1 directory to look at
               it is too small: at 10.5 MB a day it holds 6.4 days, and a longer pause between backups means a scan; enlarge it: ` + "`waybill agent --log-size 256MiB`" + `
  filled by    10.5 MB a day: it holds 6.4 days
`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b bytes.Buffer
			newJournalLine(&tt.status, last, at.Add(time.Hour)).write(&b)
			if b.String() != tt.want[1:] {
				t.Errorf("got\n%swant%s", b.String(), tt.want)
			}
		})
	}
}
