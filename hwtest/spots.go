package hwtest

import (
	"context"
	"slices"
	"time"
)

// spots are places over the whole size, behind the run: at equal distances, and at powers of two into the run, since that is where
// most counterfeit media wrap.
func spots(run, size int64) []int64 {
	var all []int64
	const n = 24
	for i := int64(1); i <= n; i++ {
		all = append(all, size/n*i)
	}
	for p := int64(chunk); p+run/2 < size; p *= 2 {
		all = append(all, p+run/2)
	}
	for i := range all {
		all[i] = min(all[i], size-spot) / spot * spot
	}
	slices.Sort(all)
	all = slices.Compact(all)
	return slices.DeleteFunc(all, func(p int64) bool { return p < run || p < 0 })
}

// writeSpots returns those that were written.
func (t *test) writeSpots(ctx context.Context, places []int64) ([]int64, error) {
	began := time.Now()
	var done []int64
	for _, pos := range shuffled(places) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if time.Since(began) > patience && len(done) >= 8 {
			break
		}
		b := t.buf[:spot]
		fill(b, t.key, pos)
		if err := t.area.write(b, pos); isFull(err) {
			t.r.remark("it is full, though it said that %s are free", size(t.r.FileSystem.Free)) // or so is a quota
			break
		} else if err != nil {
			t.r.unfit("it can't be written at %s: %v", size(pos), err)
			break
		}
		done = append(done, pos)
		t.p.Bytes.Add(spot)
	}
	if err := t.area.close(); err != nil {
		t.r.unfit("what was written can't be made durable: %v", err)
	}
	return done, nil
}

func (t *test) readSpots(ctx context.Context, places []int64) error {
	var took times
	scratch := make([]byte, blockSize)
	for _, pos := range places {
		if err := ctx.Err(); err != nil {
			return err
		}
		b := t.buf[:spot]
		start := time.Now()
		err := t.area.read(b, pos)
		took.add(time.Since(start))
		t.p.Bytes.Add(spot)
		if err != nil {
			t.r.Capacity.unreadable(pos, spot)
			continue
		}
		t.r.Capacity.check(b, t.key, pos, scratch)
	}
	if len(places) > 0 {
		l := took.latency()
		t.r.Random = &l
	}
	return nil
}

// shuffled takes places from both ends in turn, the farthest first, so that few of them span most and no drive reads ahead.
func shuffled(places []int64) []int64 {
	var all []int64
	for i, j := 0, len(places)-1; i <= j; i, j = i+1, j-1 {
		all = append(all, places[j])
		if i < j {
			all = append(all, places[i])
		}
	}
	return all
}
