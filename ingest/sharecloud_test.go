package ingest

import (
	"slices"
	"sync"
	"testing"
	"time"

	"waybill/ingest/claims"
	"waybill/ingest/claims/claimstest"
	"waybill/ingest/vault/azure"
	"waybill/manifest"
)

// What a carrier uploaded into the vault's own container, damage and all, is adopted by many together as by one: that it is there says nothing yet.
func TestSharedInPlace(t *testing.T) {
	var receipts []*manifest.Receipt
	var logs [][]string
	for _, workers := range []int{1, 4} {
		c := newCloud(t, newParityWorld(t))
		c.flip(c.paths(1)[0])
		c.flip(c.paths(2)[1])
		v := c.asVault()
		carrier{cloud: c}.upload(v, 1, 2, 3)
		a, err := azure.ParseAddress(v.Path())
		c.must(err)
		store := claimstest.New()
		var g sync.WaitGroup
		for range workers {
			g.Go(func() {
				o := options()
				if workers > 1 {
					o.Claims, o.Slice = claims.Open(store, "", 15*time.Second), 1
				}
				mine := c.open(a.Container)
				r, err := Import(t.Context(), mine, []Source{{"the container", mine}}, o)
				if err != nil || r.Machines[0].ReceiptName == "" {
					t.Errorf("%v %v", r, err)
				}
			})
		}
		g.Wait()
		c.check(v, 0)
		n := 0
		c.must(v.List(t.Context(), manifest.ReceiptsPrefix(machineID), func(name string, _ int64) error {
			if n++; n != 1 {
				return nil
			}
			b, err := manifest.ReadObject(t.Context(), v, name, 1<<20)
			c.must(err)
			r, err := manifest.ParseReceipt(b)
			receipts = append(receipts, r)
			return err
		}))
		if n != 2 {
			t.Errorf("%d workers wrote %d receipts and signatures", workers, n)
		}
		for disk := 1; disk <= 3; disk++ {
			logs = append(logs, c.log(v, disk))
		}
	}
	one, many := receipts[0], receipts[1]
	if one.Repaired != 2 || one.Verified != many.Verified || one.Imported != many.Imported || one.Present != many.Present || one.Repaired != many.Repaired || !slices.Equal(one.Arrived, many.Arrived) {
		t.Errorf("one worker: %+v\nmany: %+v", one, many)
	}
	for i := range 3 {
		if !slices.Equal(logs[i], logs[i+3]) {
			t.Errorf("the log of disk %d: %v, and of many: %v", i+1, logs[i], logs[i+3])
		}
	}
}
