package btrfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"waybill/incremental/journal"
)

// moments is the file in the place that has the times of the cursors that were given out, one a line with the id of the journal, the
// newest last. A volume that was set back to an earlier state lacks the later ones.
const moments = "moments"

// maxMoments is how many are kept: those of some runs that committed nothing, and more.
const maxMoments = 256

// remember adds this moment. It is on disk as soon as what is changed from now on is.
func (v *Volume) remember(place *os.File) (time.Time, error) {
	now := time.Now().UTC().Round(0)
	lines, err := readMoments(place.Name())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return now, err
	}
	lines = append(lines, v.moment(now))
	text := strings.Join(lines[max(0, len(lines)-maxMoments):], "\n") + "\n"
	path := filepath.Join(place.Name(), moments)
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		return now, refusal(err)
	}
	return now, os.Rename(path+".new", path)
}

// remembers returns a *journal.Gap when the volume knows nothing of a moment that a cursor was taken at.
func (v *Volume) remembers(taken time.Time) error {
	lines, err := readMoments(v.place)
	if errors.Is(err, fs.ErrNotExist) {
		return &journal.Gap{Reason: "journal re-created", Hint: filepath.Join(v.place, moments) + " was removed: keep it"}
	}
	if err != nil {
		return err
	}
	for _, line := range lines {
		if line == v.moment(taken) {
			return nil
		}
	}
	return setBack("it knows nothing of the last backup")
}

func (v *Volume) moment(t time.Time) string {
	return fmt.Sprintf("%s %s", t.UTC().Format(time.RFC3339Nano), v.journal())
}

func readMoments(place string) ([]string, error) {
	b, err := os.ReadFile(filepath.Join(place, moments))
	return strings.FieldsFunc(string(b), func(r rune) bool { return r == '\n' }), err
}
