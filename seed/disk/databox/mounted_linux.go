package databox

import (
	"os"
	"strings"
)

// mountedFrom is what is mounted at a directory, as in //10.0.0.5/account_BlockBlob; none when nothing is or it can't be told.
func mountedFrom(dir string) []string {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	return sources(string(b), dir)
}

// unescape undoes what proc(5) does to spaces and the like.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// sources are the sources of the network mounts at a directory: proc_pid_mountinfo(5), fields 5, then after the hyphen 1 and 2.
func sources(mountinfo, dir string) (found []string) {
	for line := range strings.Lines(mountinfo) {
		left, right, _ := strings.Cut(line, " - ")
		l, r := strings.Fields(left), strings.Fields(right)
		if len(l) < 5 || len(r) < 2 || unescape.Replace(l[4]) != dir {
			continue
		}
		switch r[0] {
		case "cifs", "smb3", "nfs", "nfs4":
			found = append(found, unescape.Replace(r[1]))
		}
	}
	return found
}
