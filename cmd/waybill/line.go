package main

import (
	"cmp"
	"context"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"waybill/internal/cli"
	"waybill/internal/line"
)

// lineFlags say how much of the line to the vault is used, and how long to wait for it.
type lineFlags struct {
	upload, download string
	throttle         []string
	patience         time.Duration
}

// sending adds the flags of a command that sends.
func (f *lineFlags) sending(fs *pflag.FlagSet, patience time.Duration) {
	fs.StringVar(&f.upload, "limit-upload", "", "send no more than `RATE`, as in 20Mbit or 5MB a second")
	fs.StringArrayVar(&f.throttle, "throttle", nil, "in this `WINDOW` send no more than its rate, as in \"mon-fri 08:00-18:00 2Mbit\"; may be given again")
	f.waiting(fs, patience)
}

// receiving adds the flags of a command that reads a lot.
func (f *lineFlags) receiving(fs *pflag.FlagSet, patience time.Duration) {
	fs.StringVar(&f.download, "limit-download", "", "read no more than `RATE`, as in 20Mbit or 5MB a second")
	f.waiting(fs, patience)
}

func (f *lineFlags) waiting(fs *pflag.FlagSet, patience time.Duration) {
	fs.DurationVar(&f.patience, "patience", patience, "how long to wait for a vault that is out of reach")
}

// A vaultLine is the line to the vault while a command runs.
type vaultLine struct {
	out      *cli.Output
	patience time.Duration
	up, down *line.Limiter // nil: no limit

	mu    sync.Mutex
	since time.Time // when the vault was out of reach; zero while it is not
	told  bool      // of that
	quit  func()    // ends what is being sent, when nobody wants to wait; nil: somebody does
}

// useLine has the vault opened by what the flags say.
func (a *app) useLine(f *lineFlags) error {
	l := &vaultLine{out: a.out, patience: f.patience}
	windows := f.throttle
	if env := os.Getenv("WAYBILL_THROTTLE"); env != "" && len(windows) == 0 {
		windows = strings.FieldsFunc(env, func(r rune) bool { return r == ';' })
	}
	if _, err := line.ParseSchedule(windows, ""); err != nil {
		return badRate("--throttle", err)
	}
	var err error
	if l.up, err = limiter("--limit-upload", windows, f.upload); err != nil {
		return err
	}
	if l.down, err = limiter("--limit-download", nil, f.download); err != nil {
		return err
	}
	if f.patience < 0 {
		return cli.Errorf(cli.Usage, "--patience %v is below 0", f.patience)
	}
	a.line = l
	to := &a.secrets.Line
	if l.up != nil {
		to.Up = l.up
	}
	if l.down != nil {
		to.Down = l.down
	}
	to.Patience, to.Waiting = cmp.Or(f.patience, -1), l.waiting
	return nil
}

// limiter is nil for no limit at all.
func limiter(flag string, windows []string, limit string) (*line.Limiter, error) {
	if len(windows) == 0 && limit == "" {
		return nil, nil
	}
	s, err := line.ParseSchedule(windows, limit)
	if err != nil {
		return nil, badRate(flag, err)
	}
	return line.NewLimiter(s, time.Now), nil
}

func badRate(flag string, err error) error {
	return cli.Errorf(cli.Usage, "%s: %w", flag, err).Hinted("`waybill help throttle` tells how rates and windows are written")
}

// noticeable is how long a vault may not answer until people are told: most of what fails does at once what it should when it is asked again.
const noticeable = 3 * time.Second

// waiting is told of the vault's silence, see place.Line.
func (l *vaultLine) waiting(since time.Time, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if since.IsZero() {
		if l.told {
			l.out.Say("the vault is back, after %s", cli.Duration(time.Since(l.since)))
		}
		l.since, l.told = since, false
		return
	}
	l.since = since
	if !l.away() {
		return
	}
	if !l.told {
		l.told = true
		l.out.Warn("the vault is out of reach: %v. It is waited for, at most %s", err, cli.Duration(l.patience))
	}
	if l.quit != nil {
		l.quit()
	}
}

// away tells whether the vault has been out of reach for a while. l.mu is held.
func (l *vaultLine) away() bool { return !l.since.IsZero() && time.Since(l.since) >= noticeable }

// sending is the context of what is sent even when ctx is cancelled, so that what is done is kept; but not while the vault is out of reach, or nothing may be sent for
// hours: what was sent isn't lost then, either.
func (l *vaultLine) sending(ctx context.Context) (context.Context, context.CancelFunc) {
	sending, quit := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.quit = quit; l.away() || l.up != nil && l.up.Rate() == line.Pause {
			quit()
		}
	})
	return sending, func() { stop(); quit() }
}

// state adds to a sample how it is about the line.
func (l *vaultLine) state(s cli.Sample) cli.Sample {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.away() {
		s.Away = l.since
	}
	for _, limiter := range []*line.Limiter{l.up, l.down} {
		if limiter != nil && limiter.Rate() != line.Unlimited {
			s.Limit = limiter.Rate().String()
		}
	}
	return s
}

// progress is the output's, with how it is about the line.
func (a *app) progress(sample func() cli.Sample) (stop func()) {
	if a.line == nil {
		return a.out.Progress(sample)
	}
	return a.out.Progress(func() cli.Sample { return a.line.state(sample()) })
}

func throttleTopic() *cobra.Command {
	return cli.Topic("throttle", "how much of the line to the vault is used, and when", `
--limit-upload RATE of backup and seed, and --limit-download RATE of restore and verify, hold what is sent or read below a rate. A
small b stands for bits and a large one for bytes, a second: 20Mbit, 1.5Gbit, 5MB, 512kbit; "unlimited" is no limit.

--throttle WINDOW, of backup and seed, says a rate for hours of some days. It may be given several times; of windows that hold at the same time
the last counts, and --limit-upload outside of all. A window is days, hours and a rate; days or hours may be left out:

  --throttle "mon-fri 08:00-18:00 2Mbit"    working hours
  --throttle "sat,sun unlimited"            days
  --throttle "22:00-06:00 50Mbit"           every night: hours after midnight belong to the day before
  --throttle "mon-fri 09:00-12:00 pause"    nothing is sent

WAYBILL_THROTTLE holds windows with ; between them. They count when --throttle isn't given.

Days and hours are those of this machine's own clock and time zone, and follow it when it is put forward or back. A backup that runs
into a window, or out of it, follows within seconds. In a pause no pack is begun, and those that are on their way are sent to their end: up to four, of 24 MiB each.

Limits hold for all traffic with the vault together, also where that is a directory, which may be mounted over a network. They are
those of the packs' bytes; what the network adds to them, some percent, isn't counted.

The vault may be out of reach for a while: a laptop sleeps, a line is cut, an address changes. The run goes on when it is back, and tells
since when it waits; with --json, "vault_out_of_reach_since" in progress says so. --patience says how long it waits: 12 hours for a backup, if nothing
is said. Then it ends with exit code 13. Nothing of it is lost: packs that were sent are taken over by the next backup, as they are after a crash or a power cut.`)
}
