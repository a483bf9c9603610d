// Package fault is for tests: stores that fail, before or after an operation takes effect, or are far away, and disks that err, lie, lose, wrap, slow down,
// fill up or vanish.
//
// A [Script] counts the operations of all stores that share it, and says which of them fails and how. A test
// runs the same work with the first operation failing, then the second, and so on until a run is over before its
// operation comes; after each it checks what is left, and goes on without faults:
//
//	for k := 1; ; k++ {
//		script := &fault.Script{At: k, When: fault.After}
//		err := work(fault.Store{Inner: vault, Script: script})
//		... whatever err is, nothing half visible is in vault, and work goes on from there ...
//		if !script.Tripped() {
//			break
//		}
//	}
//
// Each fault is worth trying both ways: what failed and was not done, and what was done though it failed, as when
// a connection breaks before the answer.
//
// A [Line] is a store at the far end of a wire: it counts requests, and takes the time of a round trip and of a line's rate.
//
// A [Disk] is a mounted directory, by FUSE and so on Linux only, whose [Faults] can be changed while it is used:
//
//	d := fault.MountTest(t, fault.Faults{Size: 64 << 20})
//	... work on d.Dir ...
//	d.Set(fault.Faults{Gone: true}) // pulled out
//
// With rates it is a slow disk, for measurements. It has the faults of a disk as a program meets them through a file system; those
// of the file system itself, such as directories torn by a power cut, it hasn't.
package fault

import (
	"errors"
	"fmt"
	"sync"
)

// Err is what a scripted failure is, when the script doesn't say otherwise.
var Err = errors.New("scripted failure")

// When says whether a failing operation takes effect.
type When int

// The moments of a failure.
const (
	Before When = iota // it fails and nothing was done
	After              // it is done, but reports a failure
	Amid               // a Put has read half of what it was to store and then given up; a read has half of its bytes
)

// Moments are all of them, for tests that try each.
var Moments = []When{Before, After, Amid}

// String names the moment, for subtests.
func (w When) String() string { return [...]string{"before", "after", "amid"}[w] }

// A Script says which operation fails. It is safe for concurrent use; its exported fields are to be set before.
type Script struct {
	At     int                               // the operation that fails, from 1; 0 for none
	When   When                              // it fails
	Down   bool                              // all operations after it fail too, without effect: the store is gone
	Counts func(operation, name string) bool // which operations count and may fail; nil for all
	Err    error                             // what they fail with; nil for Err

	mu      sync.Mutex
	count   int
	tripped bool
}

// Count is how many operations there were that count.
func (s *Script) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

// Tripped tells whether the failure has happened.
func (s *Script) Tripped() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tripped
}

// next counts an operation. Its error is nil when the operation is to be done as if nothing were.
func (s *Script) next(operation, name string) (When, error) {
	if s.Counts != nil && !s.Counts(operation, name) {
		return Before, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count++
	first := s.count == s.At
	if !first && !(s.Down && s.tripped) {
		return Before, nil
	}
	s.tripped = true
	err := s.Err
	if err == nil {
		err = Err
	}
	err = fmt.Errorf("%s %s: %w", operation, name, err)
	if !first {
		return Before, err
	}
	return s.When, err
}

// Writes is for Script.Counts: only what changes a store may fail.
func Writes(operation, _ string) bool { return operation == "put" || operation == "remove" }
