package main

import (
	"fmt"
	"strings"
)

// A cause is why a volume may be scanned though it has a journal, or looked at in another way than by its records.
type cause struct {
	reason string // how it is told, or how that begins
	means  string
	advice string // what can be done; empty when it passes by itself
	normal bool   // nobody needs to be warned of it
}

// causes are those that users meet. Help, backups and `points show` tell them alike.
var causes = []cause{
	{"first backup", "there is nothing to compare with yet", "", true},
	{"the volume was not in the last backup", "of this volume there is nothing to compare with yet", "", true},
	{"no cursor from the last backup", "the journal could not be used then, for the reason that follows; it can from this backup on", "", true},
	{"selection changed", "paths or excludes are not those of the last backup, and a journal doesn't tell what is new to it", "", true},
	{"the last backup was interrupted", "it was looking at everything, and did not end; one that went by the journal is gone on with", "", true},
	{"swept", "everything is looked at from time to time, to hold the journal to account: --sweep", "", true},
	{"change journals are switched off", "by --journal off", "", true},
	{"what was lost on the way is looked for", "packs of a disk can't be had again, so files that look unchanged may not be stored", "", true},
	{"the last backup had too many problems", "what could not be saved is tried again, and not all of it could be listed", "", false},
	{"part of the last recovery point can't be read", "its catalogue is damaged, or not all there", "`waybill verify` tells what", false},
	{"no change journal", "the file system keeps none that sees what others change", "", false},
	{"the file system keeps no change journal", "likewise, on Windows", "", false},
	{"the journal may not be read", "USN journals take an administrator's rights", "run it as administrator", false},
	{"the generations of btrfs can't be read", "they take root's rights", "run it as root", false},
	{"journal wrapped: files found by their last USN", "more was written to it since the last backup than it holds; what changed was found in the file table instead, and what was deleted by comparing that with the last backup",
		"a larger one spares that look: `waybill journal status` tells how large it should be", true},
	{"journal wrapped", "more was written to it since the last backup than it holds",
		"enlarge it, or back up more often: `waybill journal status` tells how large it should be", false},
	{"journal re-created", "it was deleted and made again, by a person or a program, or because another Windows had the volume", "", false},
	{"the volume has no change journal", "Windows keeps one on the system's volume, and not on all others", "make one, on that Windows: `waybill journal create VOLUME`, or `fsutil usn createjournal m=536870912 a=67108864 VOLUME`", false},
	{"the volume was set back to an earlier state", "a snapshot or an image was restored over it", "", false},
	{"the agent does not run", "nobody notes what changes", "start it: `systemctl enable --now waybill-agent`, or see `waybill help agent`", false},
	{"the agent does not watch this file system", "tmpfs and btrfs it watches only when they are named, others when it is not told otherwise", "name a path on it: `waybill agent PATH...`", false},
	{"agent was not running", "it was stopped, or the machine was started again, and nobody noted what changed meanwhile",
		"a start of the machine costs one such look; if it was none: `systemctl enable --now waybill-agent`", false},
	{"events were lost", "more changed at once than the kernel's queue holds", "run the agent without --limit-queue: then memory is the only bound", false},
	{"the file system was unmounted", "others may have written to it meanwhile", "", false},
}

// causeOf is what is known about a reason.
func causeOf(reason string) cause {
	for _, c := range causes {
		if strings.HasPrefix(reason, c.reason) {
			return c
		}
	}
	return cause{}
}

// causeTable is the causes as help shows them.
func causeTable() string {
	var b strings.Builder
	for _, c := range causes {
		fmt.Fprintf(&b, "  %s\n      %s\n", c.reason, c.means)
		if c.advice != "" {
			fmt.Fprintf(&b, "      %s\n", c.advice)
		}
	}
	return b.String()
}
