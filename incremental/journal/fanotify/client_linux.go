package fanotify

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"waybill/incremental/journal"
	"waybill/internal/mountinfo"
)

// A Journal is what an agent knows of a file system, as a client sees it. It implements journal.Journal. It keeps the file system from being unmounted until it is closed.
type Journal struct {
	stateDir string
	path     string
	root     *os.File // the volume's root, and the mount that handles are opened by
	mount    mountinfo.Mount
	self     fileID // of root
	dir      string // of the log; known after a sync
}

// Open opens the journal of the file system mounted at a path, which is to be had from the agent of a state directory.
// The error is a *journal.Gap if no agent runs there, or if it doesn't watch the file system.
func Open(stateDir, mountPath string) (*Journal, error) {
	j, err := open(stateDir, mountPath)
	if err != nil {
		return nil, fmt.Errorf("open the journal of %s: %w", mountPath, err)
	}
	if _, err := j.sync(context.Background()); err != nil {
		return nil, errors.Join(err, j.Close())
	}
	return j, nil
}

func open(stateDir, mountPath string) (*Journal, error) {
	root, err := os.OpenFile(mountPath, unix.O_DIRECTORY|unix.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	j := &Journal{stateDir: stateDir, path: mountPath, root: root}
	if j.mount, err = mountOf(int(root.Fd())); err == nil {
		j.self, err = identify(int(root.Fd()))
	}
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return j, nil
}

// Close closes the journal.
func (j *Journal) Close() error { return j.root.Close() }

// Now implements journal.Journal: the agent has all in its log that was done before the call. The cursor's Taken is part of it: a cursor with another is refused.
func (j *Journal) Now(ctx context.Context) (*journal.Cursor, error) {
	r, err := j.sync(ctx)
	if err != nil {
		return nil, err
	}
	return r.cursor(), nil
}

// Status implements journal.Journal.
func (j *Journal) Status(ctx context.Context) (journal.Status, error) {
	r, err := j.sync(ctx)
	if err != nil {
		return journal.Status{Kind: Kind}, err
	}
	return journal.Status{Kind: Kind, Volume: r.Volume, Journal: r.Journal, First: r.First, Next: r.Position, Size: r.Size, Since: r.Since}, nil
}

func (j *Journal) sync(ctx context.Context) (*reply, error) {
	r, err := ask(ctx, j.stateDir, request{Op: opSync, Device: j.mount.Device})
	if err == nil {
		j.dir = r.Dir
	}
	return r, err
}

// Agent asks the agent of a state directory how it does. The error is a *journal.Gap if none runs.
func Agent(ctx context.Context, stateDir string) (*Status, error) {
	r, err := ask(ctx, stateDir, request{Op: opStatus})
	if err != nil {
		return nil, err
	}
	return r.Status, nil
}

// ask asks an agent. Its gaps are errors.
func ask(ctx context.Context, stateDir string, q request) (*reply, error) {
	c, err := dial(ctx, stateDir)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ECONNREFUSED) {
		return nil, &journal.Gap{Reason: "the agent does not run", Hint: hintStart}
	}
	if err != nil {
		return nil, fmt.Errorf("ask the agent: %w", err)
	}
	defer c.Close()
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(time.Minute)
	}
	if err := c.SetDeadline(deadline); err != nil {
		return nil, fmt.Errorf("ask the agent: %w", err)
	}
	r := &reply{}
	defer context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })()
	if err = json.NewEncoder(c).Encode(q); err == nil {
		err = json.NewDecoder(c).Decode(r)
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("ask the agent: %w", ctx.Err())
	}
	if err != nil {
		return nil, &journal.Gap{Reason: "the agent does not answer: " + err.Error(), Hint: "restart it"}
	}
	if r.Gap != nil {
		return nil, r.Gap
	}
	return r, nil
}

func dial(ctx context.Context, stateDir string) (c net.Conn, err error) {
	name := socketPath(stateDir)
	err = viaShortPath(name, func(short string) error {
		var d net.Dialer
		c, err = d.DialContext(ctx, "unix", short)
		return err
	})
	return c, err
}

// Changes implements journal.Journal.
func (j *Journal) Changes(ctx context.Context, from, to *journal.Cursor, d *journal.Dirty) error {
	if err := j.vouches(from, to); err != nil {
		return err
	}
	s, err := j.read(ctx, from, to)
	if err != nil {
		return err
	}
	r := &resolver{journal: j, dirty: d, set: s, from: from, to: to}
	if err := r.resolve(ctx); err != nil {
		return err
	}
	open, err := r.openFiles(ctx)
	if err != nil {
		return err
	}
	r.contents(open)
	return r.own()
}

// vouches tells whether a cursor is one of the journal that another is of.
func (j *Journal) vouches(from, to *journal.Cursor) error {
	switch {
	case from == nil || from.Kind != Kind || from.Volume != to.Volume:
		return &journal.Gap{Reason: "journal re-created", Hint: "the last backup knew another journal, or none"}
	case from.Journal != to.Journal:
		return j.ended(from.Journal)
	case from.Position > to.Position:
		return setBack()
	}
	return nil
}

func setBack() error {
	return &journal.Gap{Reason: "the volume was set back to an earlier state"}
}

// ended says why a journal is over.
func (j *Journal) ended(id string) error {
	h, err := readHistory(j.dir)
	if err != nil {
		return fmt.Errorf("read the agent's history: %w", err)
	}
	return h.gap(id)
}

// A changeSet is what a stretch of log says.
type changeSet struct {
	dirs    map[handle]map[string]struct{} // the names in each
	files   map[handle]changes
	at      map[handle]place               // a name by which each file was changed, unless it was given or taken then
	unknown map[handle]map[string]struct{} // names, by directory, of which it isn't known what they stand for
	setBack bool                           // the clock was, in between
}

// read reads the log between two cursors.
func (j *Journal) read(ctx context.Context, from, to *journal.Cursor) (*changeSet, error) {
	s := &changeSet{dirs: map[handle]map[string]struct{}{}, files: map[handle]changes{}, at: map[handle]place{}, unknown: map[handle]map[string]struct{}{}}
	if from.Position < syncFrame {
		return nil, setBack()
	}
	first := true
	err := readLog(j.dir, from.Journal, from.Position-syncFrame, to.Position, func(payload []byte) error {
		switch {
		case first:
			first = false
			return isSync(payload, from.Taken)
		case payload[0] == payloadClock:
			s.setBack = true
			return nil
		}
		return records(ctx, payload, s.note)
	})
	return s, j.because(err, from)
}

// eachRecord calls each with what the log has between two cursors.
func (j *Journal) eachRecord(ctx context.Context, from, to *journal.Cursor, each func(*record)) error {
	err := readLog(j.dir, from.Journal, from.Position, to.Position, func(payload []byte) error {
		return records(ctx, payload, each)
	})
	return j.because(err, from)
}

// because makes a gap of an error of a log.
func (j *Journal) because(err error, from *journal.Cursor) error {
	var gap *journal.Gap
	switch {
	case err == nil || errors.As(err, &gap) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, errWrapped):
		if h, err := readHistory(j.dir); err == nil && h.last() != nil && h.last().ID != from.Journal {
			return h.gap(from.Journal) // it has ended since the sync
		}
		return &journal.Gap{Reason: "journal wrapped", Hint: "back up more often, or give the agent a larger log"}
	}
	return &journal.Gap{Reason: "the agent's log is damaged: " + err.Error()}
}

// isSync tells whether a frame is the one that a cursor was taken with. After the machine was set back to an earlier
// state, with the agent in it, the log has other frames there.
func isSync(payload []byte, taken time.Time) error {
	if len(payload) != syncFrame-frameHeader || payload[0] != payloadSync || binary.LittleEndian.Uint64(payload[1:]) != uint64(taken.UnixNano()) {
		return setBack()
	}
	return nil
}

// records calls each with the records of a frame.
func records(ctx context.Context, payload []byte, each func(*record)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	switch payload[0] {
	case payloadSync, payloadClock:
		return nil
	case payloadEvents:
	default:
		return fmt.Errorf("a frame of the unknown kind %q", payload[0])
	}
	for b := payload[1:]; len(b) > 0; {
		var r record
		var err error
		if r, b, err = parseRecord(b); err != nil {
			return err
		}
		each(&r)
	}
	return nil
}

func (s *changeSet) note(r *record) {
	if r.dir == "" {
		s.files[r.file] |= r.changes | nameless
		return
	}
	if r.file != "" {
		s.files[r.file] |= r.changes
	}
	names := s.dirs[r.dir]
	if names == nil {
		names = map[string]struct{}{}
		s.dirs[r.dir] = names
	}
	if r.name == "" {
		return
	}
	names[r.name] = struct{}{}
	if r.file != "" && r.changes&(created|moved|removed|directory) == 0 {
		s.at[r.file] = place{r.dir, r.name}
	}
	if r.file == "" && r.changes&(created|moved) != 0 {
		if s.unknown[r.dir] == nil {
			s.unknown[r.dir] = map[string]struct{}{}
		}
		s.unknown[r.dir][r.name] = struct{}{}
	}
}

// own has the agent's own files looked at: of those it tells nothing, as telling would change them.
func (r *resolver) own() error {
	for _, path := range []string{r.journal.stateDir, filepath.Join(r.journal.stateDir, "agent")} {
		if err := r.list(path); err != nil {
			return err
		}
	}
	logs, err := filepath.Glob(filepath.Join(r.journal.stateDir, "agent", "*", "journal.json"))
	if err != nil {
		return err
	}
	for _, path := range logs {
		if err := r.list(filepath.Dir(path)); err != nil {
			return err
		}
	}
	return nil
}
