package ingest

import (
	"context"
	"fmt"

	"waybill/manifest"
)

// A CustodyLog is the custody log of one disk.
type CustodyLog struct {
	Machine    manifest.ID
	Name       string // the machine's
	MachineKey manifest.PublicKey
	Set        manifest.ID
	Disk       int
	Entries    []manifest.Custody       // those that are good
	Bad        []*manifest.CustodyError // those that are not, and the numbers that have none
}

// CustodyLogs reads the custody logs that a disk or a vault has, of one machine or, when that is empty, of all: by machine, set and disk. Bad entries are no
// error, but in the logs. Whether the keys of the tree's machine.json and waybill.json are the true ones, only a vault's own copy can tell.
func CustodyLogs(ctx context.Context, s Source, machine manifest.ID) (logs []CustodyLog, err error) {
	t, err := openTree(ctx, s)
	if err != nil {
		return nil, err
	}
	for _, id := range t.machines {
		if machine != "" && id != machine {
			continue
		}
		of, err := custodyLogs(ctx, t, id)
		if err != nil {
			return nil, fmt.Errorf("%s: machine %s: %w", s.Name, id, err)
		}
		logs = append(logs, of...)
	}
	return logs, nil
}

func custodyLogs(ctx context.Context, t *tree, id manifest.ID) (logs []CustodyLog, err error) {
	m, err := manifest.OpenMachine(ctx, t, id)
	if err != nil {
		return nil, err
	}
	err = t.List(ctx, manifest.CustodiesPrefix(id), func(name string, _ int64) error {
		e, ok := manifest.ParseCustodyName(name)
		if n := len(logs); ok && (n == 0 || logs[n-1].Set != e.Set || logs[n-1].Disk != e.Disk) {
			logs = append(logs, CustodyLog{Machine: id, Name: m.Name, MachineKey: m.SigningKey, Set: e.Set, Disk: e.Disk})
		}
		return nil
	})
	for i := range logs {
		l := &logs[i]
		if err != nil {
			break
		}
		l.Entries, err = manifest.ReadCustody(ctx, t, id, l.Set, l.Disk, m.SigningKey, t.vault.ReceiptKey)
		if l.Bad = manifest.CustodyErrors(err); len(l.Bad) > 0 {
			err = ctx.Err()
		}
	}
	return logs, err
}
