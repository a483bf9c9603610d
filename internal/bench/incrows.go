package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// More rows of the report. The first backup is measured once, all others as often as runs are asked for.
const (
	rowRenamed  = "renamed"   // half of the tree has another name
	rowScan     = "scan"      // nothing changed, and everything is looked at
	rowTar      = "tar"       // extracting 100,000 small files, no agent running
	rowTarAgent = "tar agent" // the same while the agent watches
	rowIdle     = "idle"      // the agent, when nothing happens any more
)

const (
	// Bytes of image, inodes in memory and repositories for a file; on a tmpfs all of it is memory.
	treeRoom = 4000
	tenRoom  = 1600 // without peers
	bigRoom  = 1 << 30
)

// million is the main thing: few of many files change, on btrfs, which has its own journal.
func (b *increments) million(ctx context.Context) error {
	t, err := b.tree(b.files, treeRoom)
	if err != nil {
		return err
	}
	return b.on(ctx, groupMillion, "btrfs", int64(b.files)*4<<10+1<<30, t.fillAt, func(ctx context.Context, v *volume) error {
		if err := b.firsts(ctx, v, b.peers...); err != nil {
			return err
		}
		if err := b.changes(ctx, v, t, b.peers...); err != nil {
			return err
		}
		for run := range b.runs {
			if err := t.rename(run%2 == 1); err != nil {
				return err
			}
			if err := b.after(ctx, v, rowRenamed); err != nil {
				return err
			}
		}
		for range b.runs {
			if err := b.ours(ctx, v, rowScan, b.byScan()...); err != nil {
				return err
			}
		}
		return nil
	})
}

// tenTimes has ten times the files, and only us.
func (b *increments) tenTimes(ctx context.Context) error {
	t, err := b.tree(10*b.files, tenRoom)
	if err != nil {
		return err
	}
	return b.on(ctx, "ten", "btrfs", int64(t.files)*4<<10+1<<30, t.fillAt, func(ctx context.Context, v *volume) error {
		return errors.Join(b.firsts(ctx, v), b.changes(ctx, v, t))
	})
}

// bigFile is a large file, a little of which changes in place.
func (b *increments) bigFile(ctx context.Context) error {
	if err := b.room(bigRoom); err != nil {
		return err
	}
	fill := func(_ context.Context, dir string) error { return buildBig(dir, b.big) }
	return b.on(ctx, groupBig, "btrfs", int64(b.big)<<21+1<<30, fill, func(ctx context.Context, v *volume) error {
		if err := b.firsts(ctx, v); err != nil {
			return err
		}
		for run := range b.runs {
			if err := changeBig(v.source, b.big, run); err != nil {
				return err
			}
			if err := b.after(ctx, v, rowChanged); err != nil {
				return err
			}
		}
		return nil
	})
}

// tree is a corpus of so many files, for which there is room.
func (b *increments) tree(files int, room int64) (*tree, error) {
	return &tree{files: files}, b.room(int64(files) * room)
}

// fillAt builds the tree there.
func (t *tree) fillAt(ctx context.Context, dir string) error {
	t.dir = dir
	return t.build(ctx)
}

// firsts sets up us and the peers, and makes the first backup with each.
func (b *increments) firsts(ctx context.Context, v *volume, peers ...*tool) error {
	if err := setUp(ctx, waybillOnline(b.bin), v.ours); err != nil {
		return err
	}
	if err := b.first(ctx, v); err != nil {
		return err
	}
	for _, t := range peers {
		if err := setUp(ctx, t, v.place(t.name)); err != nil {
			return err
		}
		if err := b.peer(ctx, v, t, rowFirst, 0); err != nil {
			return err
		}
	}
	return nil
}

// first measures our first backup.
func (b *increments) first(ctx context.Context, v *volume) error {
	entries, bytes, err := size(v.source)
	if err != nil {
		return err
	}
	b.report.addCorpus(v.name, entries, bytes)
	return b.ours(ctx, v, rowFirst, b.byJournal()...)
}

func setUp(ctx context.Context, t *tool, p *place) error {
	for _, dir := range []string{p.repo, p.own} {
		if err := os.MkdirAll(dir, 0o777); err != nil {
			return err
		}
	}
	for _, args := range t.setup(p) {
		if _, err := t.command(p, args).measure(ctx); err != nil {
			return fmt.Errorf("setting up %s: %w", t.name, err)
		}
	}
	return nil
}

// changes has files changed and saved, in turn, by us and the peers.
func (b *increments) changes(ctx context.Context, v *volume, t *tree, peers ...*tool) error {
	for run := range b.runs {
		if err := t.change(run); err != nil {
			return err
		}
		if err := b.after(ctx, v, rowChanged); err != nil {
			return err
		}
		for _, p := range peers {
			if err := b.peer(ctx, v, p, rowChanged, run); err != nil {
				return err
			}
		}
	}
	return nil
}

// after measures a backup of ours after a change, which is on the disk by then: that is no burden of the backup.
func (b *increments) after(ctx context.Context, v *volume, row string) error {
	if err := settle(v.source); err != nil {
		return err
	}
	return b.ours(ctx, v, row, b.byJournal()...)
}

// byJournal is how we are asked to use the journal: a gap is told, and measured as the scan that it comes to.
func (b *increments) byJournal() []string { return b.journal("on") }

func (b *increments) byScan() []string { return b.journal("off") }

func (b *increments) journal(mode string) []string {
	if !b.can.journal {
		return nil
	}
	return []string{"--journal", mode}
}

// ours measures a backup of ours, and what it says of itself.
func (b *increments) ours(ctx context.Context, v *volume, row string, flags ...string) error {
	var out bytes.Buffer
	c := b.command(v, append([]string{"backup", "--quiet", "--json"}, append(flags, v.source)...)...)
	c.stdout = &out
	s, err := b.measured(ctx, c, v.ours, row)
	if err != nil {
		return err
	}
	said, err := answerOf(out.Bytes())
	if err != nil {
		return err
	}
	s.Read = said.Stats.Read
	b.add(v.name, "waybill", row, s)
	b.report.How[v.name+" "+row] = said.how()
	return nil
}

// command is one of ours, with the volume's state.
func (b *increments) command(v *volume, args ...string) *command {
	return &command{args: append([]string{b.bin}, args...), dir: v.ours.own, env: waybillEnv(v.ours)}
}

// answer is what backup --json says, as far as it matters here.
type answer struct {
	Type, Mode, Reason string
	Stats              struct {
		Read int64 `json:"read_bytes"`
	}
	Volumes []struct{ Mode, Reason string }
}

func answerOf(out []byte) (*answer, error) {
	for line := range bytes.Lines(out) {
		a := &answer{}
		if err := json.Unmarshal(line, a); err != nil {
			return nil, fmt.Errorf("waybill said %q: %w", line, err)
		}
		if a.Type == "backup" {
			return a, nil
		}
	}
	return nil, fmt.Errorf("waybill gave no answer: %q", out)
}

// how is in which way changes were found, and why so.
func (a *answer) how() string {
	said := []string{a.Mode + ": " + a.Reason}
	for _, v := range a.Volumes {
		said = append(said, strings.TrimSuffix(v.Mode+": "+v.Reason, ": "))
	}
	return strings.Join(said, "; ")
}

// peer measures a backup of a peer's.
func (b *increments) peer(ctx context.Context, v *volume, t *tool, row string, run int) error {
	as := rowFirst
	if row != rowFirst {
		as = rowUnchanged // the command is the same
	}
	p := v.place(t.name)
	command := t.steps[slices.IndexFunc(t.steps, func(s step) bool { return s.row == as })]
	args := each(command.args(p), func(s string) string { // an archive of borg's has a name of its own
		if strings.HasSuffix(s, "::second") {
			return fmt.Sprintf("%s-%d", s, run)
		}
		return s
	})
	s, err := b.measured(ctx, t.command(p, args), p, row)
	if err == nil {
		b.add(v.name, t.name, row, s)
	}
	return err
}

// measured runs a command, and says by how much its place's repository grew.
func (b *increments) measured(ctx context.Context, c *command, p *place, row string) (sample, error) {
	_, before, err := size(p.repo)
	if err != nil {
		return sample{}, err
	}
	s, err := c.measure(ctx)
	if err != nil {
		return sample{}, fmt.Errorf("%s: %w", row, err)
	}
	_, after, err := size(p.repo)
	s.Stored = after - before
	return s, err
}

func (b *increments) add(corpus, tool, row string, s sample) {
	b.report.add(corpus, tool, row, s)
	fmt.Fprintf(b.log, "%s: %s %s %.2f s\n", corpus, tool, row, s.Seconds)
}
