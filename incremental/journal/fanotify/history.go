package fanotify

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"waybill/incremental/journal"
)

// A history says which journals a file system had, and why each ended. It is a file beside the log.
type history struct {
	Format     string    `json:"format"`
	Volume     string    `json:"volume"`
	Path       string    `json:"path"` // where it was mounted when the last journal began
	FileSystem string    `json:"file_system"`
	Journals   []chapter `json:"journals"` // oldest first, at most maxChapters
}

// A chapter is one journal.
type chapter struct {
	ID      string    `json:"id"`
	Boot    string    `json:"boot"` // the kernel's id of the boot it is of
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended,omitzero"`
	Reason  string    `json:"reason,omitempty"` // why it ended, for people
	Hint    string    `json:"hint,omitempty"`

	Unmounted bool `json:"unmounted,omitempty"` // it ended with the file system's unmounting, which lasts
}

const (
	historyFormat = "waybill fanotify 1"
	maxChapters   = 32
)

// readHistory reads the history in a directory; where there is none, or none that can be understood, it is empty.
func readHistory(dir string) (*history, error) {
	h := &history{}
	b, err := os.ReadFile(filepath.Join(dir, "journal.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return h, nil
	}
	if err != nil {
		return nil, err
	}
	if json.Unmarshal(b, h) != nil || h.Format != historyFormat {
		return &history{}, nil
	}
	return h, nil
}

func (h *history) write(dir string) error {
	h.Format = historyFormat
	if n := len(h.Journals) - maxChapters; n > 0 {
		h.Journals = h.Journals[n:]
	}
	b, err := json.MarshalIndent(h, "", "\t")
	if err != nil {
		return err
	}
	temp := filepath.Join(dir, "journal.json.tmp")
	if err := os.WriteFile(temp, append(b, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(temp, filepath.Join(dir, "journal.json"))
}

// last is the journal that goes on, or ended last; nil if there was none.
func (h *history) last() *chapter {
	if len(h.Journals) == 0 {
		return nil
	}
	return &h.Journals[len(h.Journals)-1]
}

// gap says why a journal is over.
func (h *history) gap(id string) *journal.Gap {
	for _, c := range h.Journals {
		if c.ID == id && c.Reason != "" {
			return &journal.Gap{Reason: c.Reason, Hint: c.Hint}
		}
	}
	return &journal.Gap{Reason: "journal re-created", Hint: "the agent has forgotten the journal of the last backup: was its state directory replaced?"}
}

// moment writes a time as reasons have it.
func moment(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }

func between(what string, from, to time.Time) string {
	return fmt.Sprintf("%s from %s to %s", what, moment(from), moment(to))
}
