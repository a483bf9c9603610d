package volumes

import (
	"waybill/incremental/journal"
	"waybill/incremental/journal/usn"
)

// openJournal opens the journal of the volume's file system.
func (v *volume) openJournal(Options) (journal.Journal, error) {
	switch v.system {
	case "NTFS", "ReFS":
		j, err := usn.OpenLive(v.device)
		if err != nil {
			return nil, err
		}
		return j, nil
	}
	return nil, &journal.Gap{Reason: "no change journal: " + v.system + " has none"}
}
