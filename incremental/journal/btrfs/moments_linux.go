package btrfs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"waybill/incremental/journal"
)

// maxMoments is how many moments are kept: those of some runs that committed nothing, and more.
const maxMoments = 256

// moments is the file in the place that has the times of the cursors that were given out, one a line, the newest last. A volume that was set
// back to an earlier state lacks the later ones.
func (v *Volume) moments() string { return filepath.Join(v.place, "moments-"+v.journal()) }

// remember adds this moment. It is on disk as soon as what is changed from now on is.
func (v *Volume) remember() (time.Time, error) {
	now := time.Now().UTC().Round(0)
	lines, err := v.remembered()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return now, err
	}
	lines = append(lines, now.Format(time.RFC3339Nano))
	text := strings.Join(lines[max(0, len(lines)-maxMoments):], "\n") + "\n"
	if err := os.WriteFile(v.moments()+".new", []byte(text), 0o600); err != nil {
		return now, refusal(err)
	}
	return now, os.Rename(v.moments()+".new", v.moments())
}

// remembers returns a *journal.Gap when the volume knows nothing of a moment that a cursor was taken at.
func (v *Volume) remembers(taken time.Time) error {
	lines, err := v.remembered()
	if errors.Is(err, fs.ErrNotExist) {
		return &journal.Gap{Reason: "journal re-created", Hint: v.moments() + " was removed: keep it"}
	}
	if err != nil {
		return err
	}
	if !slices.Contains(lines, taken.UTC().Format(time.RFC3339Nano)) {
		return setBack("it knows nothing of the last backup")
	}
	return nil
}

func (v *Volume) remembered() ([]string, error) {
	b, err := os.ReadFile(v.moments())
	return strings.Fields(string(b)), err
}
