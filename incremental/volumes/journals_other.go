//go:build !linux && !windows

package volumes

import "waybill/incremental/journal"

func (v *volume) openJournal(Options) (journal.Journal, error) {
	return nil, &journal.Gap{Reason: "no change journal: " + v.system + " has none"}
}
