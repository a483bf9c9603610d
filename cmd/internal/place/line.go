package place

import (
	"errors"
	"sync"
	"time"

	"github.com/spf13/pflag"

	"waybill/ingest/vault"
	"waybill/ingest/vault/azure"
	"waybill/internal/cli"
)

// OutOfReach tells the error of a remote place that did not answer for as long as it was waited for.
func OutOfReach(err error) bool { return errors.Is(err, azure.ErrOutOfReach) }

// A Line says how places are reached. The zero value will do.
type Line struct {
	Up, Down vault.Limiter                    // nil: no limit. They hold for directories, too, which may be mounted over a network
	Patience time.Duration                    // with a remote place that does not answer; 0 for 5 minutes
	Tier     azure.Tier                       // of new data packs in a container; empty for its account's default
	Waiting  func(since time.Time, err error) // told meanwhile, and with the zero time when it answers again; may be nil
}

// noticeable is how long a place may not answer until people are told: most of what fails does at once what it should when it is asked again.
const noticeable = 3 * time.Second

// Tell is a Line's Waiting that tells people what a command waits for.
func Tell(out *cli.Output) func(since time.Time, err error) {
	var mu sync.Mutex
	var told time.Time
	return func(since time.Time, err error) {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case since.IsZero() && !told.IsZero():
			out.Say("it answers again, after %s", cli.Duration(time.Since(told)))
			told = since
		case !since.IsZero() && told.IsZero() && time.Since(since) >= noticeable:
			told = since
			out.Warn("no answer: %v. It is waited for, at most %s", err, cli.Duration(azure.DefaultPatience))
		}
	}
}

// options are those of a remote place.
func (l Line) options() azure.Options {
	return azure.Options{Up: l.Up, Down: l.Down, Patience: l.Patience, Waiting: l.Waiting, Tier: l.Tier}
}

// TierFlag adds the flag for where a container keeps new data packs.
func (l *Line) TierFlag(f *pflag.FlagSet) {
	f.Var((*tier)(&l.Tier), "tier", "keep new data packs of a vault on Azure in this `TIER`: hot, cool, cold or archive (default: the account's)")
}

// tier is a flag's value.
type tier azure.Tier

func (t *tier) String() string { return string(*t) }
func (t *tier) Type() string   { return "TIER" }

func (t *tier) Set(text string) error {
	parsed, err := azure.ParseTier(text)
	*t = tier(parsed)
	return err
}

// limit has a directory keep to the limits. It takes objects only whole then.
func (l Line) limit(s Store) Store {
	if l.Up == nil && l.Down == nil {
		return s
	}
	return limited{vault.Limit(s, l.Up, l.Down), s}
}

// limited is a directory under limits.
type limited struct {
	vault.Store
	dir Store
}

func (l limited) Path() string { return l.dir.Path() }
func (l limited) Close() error { return l.dir.Close() }
