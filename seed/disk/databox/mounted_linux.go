package databox

import "waybill/internal/mountinfo"

// mountedFrom is what is mounted at a directory, as in //10.0.0.5/account_BlockBlob; none when nothing is or it can't be told.
func mountedFrom(dir string) []string {
	all, err := mountinfo.Read()
	if err != nil {
		return nil
	}
	return sources(all, dir)
}

// sources are the sources of the network mounts at a directory.
func sources(all []mountinfo.Mount, dir string) (found []string) {
	for _, m := range all {
		if m.Path != dir {
			continue
		}
		switch m.System {
		case "cifs", "smb3", "nfs", "nfs4":
			found = append(found, m.Source)
		}
	}
	return found
}
