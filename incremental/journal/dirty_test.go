package journal

import (
	"fmt"
	"testing"
)

// Names of one directory give way to all of it, and all to an overflow.
func TestBounds(t *testing.T) {
	var d Dirty
	for i := range wide + 1 {
		d.Name(1, fmt.Append(nil, i))
		d.Name(1, fmt.Append(nil, i))
	}
	if x := d.Dirs[1]; !x.All || x.Names != nil || !x.Has([]byte("any")) {
		t.Errorf("%+v", x)
	}
	if !d.Lead(7) || d.Lead(7) || !d.Leads(7) || !d.Leads(1) || d.Leads(8) {
		t.Errorf("%+v", d.Via)
	}
	d.Name(2, []byte("a"))
	if x := d.Dirs[2]; !x.Has([]byte("a")) || x.Has([]byte("b")) {
		t.Errorf("%+v", x)
	}
	d.count = most - 1
	d.File(5).Read = true
	if d.Overflow || !d.Files[5].Read {
		t.Errorf("%+v", d)
	}
	d.Link(9)
	d.Name(3, []byte("a"))
	d.File(6).Kept = true
	if !d.Overflow || d.Lead(4) || len(d.Dirs)+len(d.Files)+len(d.Via)+len(d.Links) > 0 {
		t.Errorf("%+v", d)
	}
}
