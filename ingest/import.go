package ingest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"waybill/manifest"
)

// A Report says what an import did.
type Report struct {
	Vault    manifest.ID
	Machines []*Imported
}

// Imported is what was done for one machine.
type Imported struct {
	Machine     manifest.ID
	Name        string // the machine's
	Commits     int    // manifests that the vault did not have
	Gaps        []int  // commits, by number, that neither the vault nor a source has
	Damaged     []Damage
	Warnings    []string // what could not be written beside: custody logs of disks
	Receipt     manifest.Receipt
	ReceiptName string // in the vault
}

// theVault is where a Damage is that is in the vault itself.
const theVault = "the vault"

// Import brings what the sources hold into the vault. In the order of a commit: packs, signatures,
// manifests; the receipt last. A vault that has a Sweep is swept first of what interrupted runs left. A pack is read once and verified on its way; one that
// is damaged or missing on all sources is rebuilt from the parity of all of them together, and of what the vault has; else it goes on the
// receipt's want list, all else is still imported, and so are the manifests: the vault then knows what it waits for. Packs that a later
// commit settles as lost are imported when they are there, and not missed. What was done with a disk goes into its custody log, in the vault and, where it can be written, on the
// disk.
//
// With Options.Claims it is the work of many at once, each of which calls Import: it returns when all is done, by whomever, and the vault has the one
// receipt of all.
//
// The report is nil when nothing could be begun. The error joins everything that is not as it should be: *DamagedError for what
// could not be made good, *IncompleteError, *GoneError for each source that went away meanwhile, manifest.ErrSignature and manifest.ErrFormat for manifests that were left out,
// manifest.ErrChain when the vault holds another commit in the place of one that arrived (of that machine, nothing
// is imported then), ErrForeign and ErrUnregistered for what is refused. What was imported stays whatever else goes wrong.
func Import(ctx context.Context, vault Store, sources []Source, o Options) (*Report, error) {
	o.defaults()
	in := &importer{vault: vault, opts: o}
	if err := in.open(ctx, sources); err != nil {
		return nil, err
	}
	r := &Report{Vault: in.doc.Vault}
	if o.Claims != nil {
		return r, in.shared(ctx, r)
	}
	var errs []error
	for _, id := range in.machines() {
		done, err := in.machine(ctx, id)
		if done != nil {
			r.Machines = append(r.Machines, done)
		}
		if ctx.Err() != nil {
			return r, ctx.Err()
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("machine %s: %w", id, err))
		}
	}
	return r, errors.Join(errs...)
}

type importer struct {
	vault  Store
	opts   Options
	doc    *manifest.Vault
	signer *manifest.Signer
	trees  []*tree
}

// open reads the vault's documents and those of the sources, and refuses what is another vault's.
func (in *importer) open(ctx context.Context, sources []Source) (err error) {
	if in.doc, err = manifest.OpenVault(ctx, in.vault); err != nil {
		return fmt.Errorf("opening the vault: %w", err)
	}
	if v, ok := in.vault.(interface{ Sweep() error }); ok {
		if err := v.Sweep(); err != nil {
			return fmt.Errorf("clearing the vault of what interrupted runs left: %w", err)
		}
	}
	text, err := manifest.ReadObject(ctx, in.vault, manifest.ReceiptKeyName, 64<<10)
	if err == nil {
		in.signer, err = manifest.ParseSigner(text)
	}
	if err != nil {
		return fmt.Errorf("opening the vault's key for receipts: %w", err)
	}
	if in.signer.Public() != in.doc.ReceiptKey {
		return fmt.Errorf("opening the vault's key for receipts: %w: it is not the one of waybill.json", manifest.ErrFormat)
	}
	for _, s := range sources {
		t, err := openTree(ctx, s)
		if err != nil {
			return fmt.Errorf("opening a source: %w", err)
		}
		if t.vault.Vault != in.doc.Vault {
			return fmt.Errorf("%s: %w: %s, this is vault %s", s.Name, ErrForeign, t.vault.Vault, in.doc.Vault)
		}
		t.inPlace = any(s.Reader) == any(in.vault)
		in.trees = append(in.trees, t)
	}
	if len(in.machines()) == 0 {
		return ErrEmpty
	}
	return nil
}

// machines is all that the sources have, ascending.
func (in *importer) machines() []manifest.ID {
	set := map[manifest.ID]bool{}
	for _, t := range in.trees {
		for _, id := range t.machines {
			set[id] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// A job is the import of one machine.
type job struct {
	*importer
	machine *manifest.Machine
	trees   []*tree // those that have the machine
	links   []link  // the commits the sources have, ascending
	wants   []*want
	lost    map[manifest.Digest]bool // packs that a later commit settles
	media   []medium                 // the disks among the trees
	custody []*custody               // of these
	errs    []error                  // beside damage and what is missing

	keeps  atomic.Bool // the vault lets nothing be taken away
	byHost atomic.Bool // the vault fetches nothing by itself

	mu       sync.Mutex // guards what follows
	done     *Imported
	unsummed int // packs that only their size speaks for
}

// begin finds out whose machine it is, and which commits arrived. The job is nil when that is refused, or there is
// nothing to do.
func (in *importer) begin(ctx context.Context, id manifest.ID) (*job, error) {
	j := &job{importer: in, done: &Imported{Machine: id}}
	for _, t := range in.trees {
		if slices.Contains(t.machines, id) {
			j.trees = append(j.trees, t)
		}
	}
	if err := j.identify(ctx, id); err != nil {
		return nil, err
	}
	j.done.Name = j.machine.Name
	if err := j.findMedia(ctx); err != nil {
		return j, err
	}
	if err := j.readChains(ctx); err != nil {
		return j, err
	}
	if len(j.links) == 0 && j.here() != nil && len(j.trees) == 1 {
		return nil, j.verdict() // no carrier brought anything of it
	}
	return j, nil
}

func (in *importer) machine(ctx context.Context, id manifest.ID) (*Imported, error) {
	j, err := in.begin(ctx, id)
	if j == nil {
		return nil, err
	}
	if err != nil {
		return j.done, err
	}
	for _, step := range []func(context.Context) error{j.plan, j.receive, j.fetchAll, j.findRenamed, j.rebuildAll, j.commitAll, j.attest, j.receipt} {
		if err := step(ctx); err != nil {
			return j.done, errors.Join(append(j.departed(), err)...)
		}
	}
	return j.done, j.verdict()
}

// departed has an error for each source that went away.
func (j *job) departed() (errs []error) {
	for _, t := range j.trees {
		if err := t.left(); err != nil {
			errs = append(errs, &GoneError{t.Name, err})
		}
	}
	return errs
}

// identify makes sure that the sources' machine is the one the vault knows.
func (j *job) identify(ctx context.Context, id manifest.ID) (err error) {
	if j.machine, err = manifest.OpenMachine(ctx, j.vault, id); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%w: it was never registered there", ErrUnregistered)
		}
		return fmt.Errorf("in the vault: %w", err)
	}
	if j.machine.Vault != j.doc.Vault {
		return fmt.Errorf("in the vault: %w: machine.json is of vault %s", manifest.ErrFormat, j.machine.Vault)
	}
	for _, t := range j.trees {
		m, err := manifest.OpenMachine(ctx, t, id)
		if err != nil && unreadable(err) { // whatever it says is not needed: what it has is checked by the vault's key
			j.noteSource(ctx, t, err)
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", t.Name, err)
		}
		if m.SigningKey != j.machine.SigningKey || m.Vault != j.machine.Vault {
			return fmt.Errorf("%s: %w: the disk's is %s, the vault's %s", t.Name, ErrUnregistered, m.SigningKey, j.machine.SigningKey)
		}
	}
	return nil
}

// verdict is the error for what was found, after all was done that could be.
func (j *job) verdict() error {
	if j.unsummed > 0 {
		j.warn("of %d packs nothing was looked at but their sizes: their store has no checksum of them", j.unsummed)
	}
	errs := append(j.departed(), j.errs...)
	if bad := slices.DeleteFunc(slices.Clone(j.done.Damaged), func(d Damage) bool { return d.Mended }); len(bad) > 0 {
		errs = append(errs, &DamagedError{bad})
	}
	if missing := j.done.Receipt.Missing; len(missing) > 0 || len(j.done.Gaps) > 0 {
		errs = append(errs, &IncompleteError{missing, j.done.Gaps, j.notHere()})
	}
	return errors.Join(errs...)
}

// noteSource notes that something of a source could not be read. Of one that went away, that is said once.
func (j *job) noteSource(ctx context.Context, t *tree, err error) {
	if t.alive(ctx) {
		j.errs = append(j.errs, fmt.Errorf("%s: %w", t.Name, err))
	}
}

// unreadable tells an error of the medium from what is wrong with a document.
func unreadable(err error) bool {
	for _, known := range []error{manifest.ErrFormat, manifest.ErrSignature, manifest.ErrChain, fs.ErrNotExist, context.Canceled} {
		if errors.Is(err, known) {
			return false
		}
	}
	return true
}

func (j *job) damaged(where, name string, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.done.Damaged = append(j.done.Damaged, Damage{Where: where, Name: name, Err: err})
}

// put creates an object. If it exists with the same bytes, that is fine; with others it
// fails with manifest.ErrChain.
func (j *job) put(ctx context.Context, name string, b []byte) error {
	err := j.vault.Put(ctx, name, bytes.NewReader(b))
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	there, err := manifest.ReadObject(ctx, j.vault, name, manifest.MaxManifest)
	if err == nil && !bytes.Equal(there, b) {
		err = fmt.Errorf("%w: the vault has another %s", manifest.ErrChain, name)
	}
	return err
}
