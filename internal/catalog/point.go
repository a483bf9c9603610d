package catalog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"waybill/internal/pack"
	"waybill/manifest"
)

// A Point is the record of a recovery point. Paths are escaped as manifest.EscapePath does.
type Point struct {
	Format        string            `json:"format"`
	State         string            `json:"state"` // Complete or PartialState
	Host          string            `json:"host"`
	Started       time.Time         `json:"started"`
	Ended         time.Time         `json:"ended"`
	Settled       time.Time         `json:"settled"` // entries changed before it may be taken as unchanged by their stat
	Base          *manifest.Digest  `json:"base,omitempty"`
	Roots         []string          `json:"roots"`
	Excludes      []string          `json:"excludes,omitempty"`
	OneFileSystem bool              `json:"one_file_system,omitempty"` // file systems mounted below the roots were left out
	LeftOut       []string          `json:"left_out,omitempty"`        // directories that were left out whatever the excludes said: the vault, disks, this program's own
	Root          []byte            `json:"root"`                      // the encoded entry of "/"
	Mode          string            `json:"mode"`                      // how changes were found: First, Scanned, Journalled; or Healed
	Reason        string            `json:"reason"`
	Users         map[string]string `json:"users"` // uid to name
	Groups        map[string]string `json:"groups"`
	Stats         Stats             `json:"stats"`
	Problems      []Problem         `json:"problems,omitempty"`
	ProblemCount  int               `json:"problem_count"`
	Damaged       []DamagedPoint    `json:"damaged,omitempty"`  // points that lack something by this commit's lost packs, oldest first
	Damage        []Damage          `json:"damage,omitempty"`   // what, at most MaxProblems
	Selection     manifest.Digest   `json:"selection,omitzero"` // of what was to be saved and how; cursors of another selection mean nothing
	Volumes       []Volume          `json:"volumes,omitempty"`  // by Path
	Mounts        []string          `json:"mounts,omitempty"`   // where else something was mounted: single files, what is left out
}

// A Volume is a file system, or a subvolume of one, that a point has something of.
type Volume struct {
	Path    string         `json:"path"`              // where it is mounted
	Mode    string         `json:"mode"`              // Optimised or Unoptimised
	Reason  string         `json:"reason,omitempty"`  // why it was scanned, or how changes were found if not by the journal's records, in words for people
	Journal string         `json:"journal,omitempty"` // the kind that was used, or would have been
	Cursor  *JournalCursor `json:"cursor,omitempty"`  // what the next backup may start from
	Scanned *time.Time     `json:"scanned,omitempty"` // when all of it was looked at last
	Missed  []string       `json:"missed,omitempty"`  // paths that had changed and the journal had not named, at most MaxMissed
	Misses  int            `json:"misses,omitempty"`  // how many those were
}

// How changes of a volume were found: by its journal, or by a scan.
const (
	Optimised   = "optimised"
	Unoptimised = "unoptimised"
)

// MaxMissed is how many missed paths a record lists for a volume.
const MaxMissed = 100

// A JournalCursor is a moment in a volume's change journal. What the fields mean is its kind's affair, but for Kind.
type JournalCursor struct {
	Kind     string    `json:"kind"`           // of the journal: usn, btrfs, fanotify
	Volume   string    `json:"volume"`         // the volume's own id
	Journal  string    `json:"journal"`        // the journal's id: another one knows nothing of this moment
	Position uint64    `json:"position"`       // in that journal
	Mark     string    `json:"mark,omitempty"` // what the journal held right before it: with another, the volume was set back
	Open     []uint64  `json:"open,omitempty"` // ids of files that were open for writing: to be read again the next time
	Taken    time.Time `json:"taken"`
}

// The modes of a point. Volumes tells more.
const (
	First      = "first"     // there was nothing to compare with
	Scanned    = "scan"      // something of the selection was scanned
	Journalled = "optimised" // change journals told where to look
)

// Healed is the mode of a point that is its base's tree, made to store anew what lost packs held.
const Healed = "heal"

// A DamagedPoint counts the entries of a point that can't be restored as they were, and how many bytes they lack.
type DamagedPoint struct {
	Point manifest.Digest `json:"point"`
	Files int64           `json:"files"`
	Bytes int64           `json:"bytes"`
}

// Damage is an entry of a point that can't be restored as it was: so many bytes of it could not be had again. A
// directory whose listing is gone has 0.
type Damage struct {
	Point manifest.Digest `json:"point"`
	Path  string          `json:"path"`
	Bytes int64           `json:"bytes"`
}

// The states of a point.
const (
	Complete     = "complete"
	PartialState = "partial"
)

// Stats counts what a backup saw and did. Sizes are in bytes.
type Stats struct {
	Files       int64 `json:"files"`
	Directories int64 `json:"directories"`
	Others      int64 `json:"others"`
	Bytes       int64 `json:"bytes"`      // of all files of the point
	ReadBytes   int64 `json:"read_bytes"` // read from the source
	NewBytes    int64 `json:"new_bytes"`  // of chunks that were not known, before compression
	NewChunks   int64 `json:"new_chunks"`
	Unchanged   int64 `json:"unchanged"` // files that were not opened
}

// Add adds another's counts.
func (s *Stats) Add(o Stats) {
	s.Files += o.Files
	s.Directories += o.Directories
	s.Others += o.Others
	s.Bytes += o.Bytes
	s.ReadBytes += o.ReadBytes
	s.NewBytes += o.NewBytes
	s.NewChunks += o.NewChunks
	s.Unchanged += o.Unchanged
}

// A Problem is an item that could not be saved as it should.
type Problem struct {
	Path    string `json:"path"`
	Problem string `json:"problem"`
}

// MaxProblems is how many problems a record lists.
const MaxProblems = 10_000

const pointFormat = "waybill point 1"

// Encode returns the record's bytes. It drops problems and damage from the end of their lists, not from their counts, until
// the record fits a chunk.
func (p *Point) Encode() ([]byte, error) {
	p.Format = pointFormat
	if p.Roots == nil {
		p.Roots = []string{}
	}
	for {
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(p); err != nil {
			return nil, fmt.Errorf("encoding a recovery point's record: %w", err)
		}
		if b.Len() <= pack.MaxCatalogueChunk {
			return b.Bytes(), nil
		}
		if len(p.Problems)+len(p.Damage) == 0 {
			return nil, fmt.Errorf("a recovery point's record of %d bytes: the format allows %d", b.Len(), pack.MaxCatalogueChunk)
		}
		p.Problems, p.Damage = p.Problems[:len(p.Problems)/2], p.Damage[:len(p.Damage)/2]
	}
}

// ParsePoint reads a record; what is no record, or of a newer format, fails with pack.ErrDamaged.
func ParsePoint(b []byte) (*Point, error) {
	p := &Point{}
	if err := json.Unmarshal(b, p); err != nil {
		return nil, damaged("a recovery point's record: %v", err)
	}
	if p.Format != pointFormat || p.State != Complete && p.State != PartialState {
		return nil, damaged("a recovery point's record of the unknown form %q, %q", p.Format, p.State)
	}
	if _, err := p.RootEntry(); err != nil {
		return nil, err
	}
	return p, nil
}

// RootEntry is the entry of "/".
func (p *Point) RootEntry() (Entry, error) {
	e, err := ParseEntry(p.Root)
	if err == nil && (e.Kind != Directory || len(e.Name) != 0) {
		err = damaged("a recovery point whose root is no directory")
	}
	return e, err
}
