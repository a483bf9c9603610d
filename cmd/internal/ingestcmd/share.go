package ingestcmd

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/pflag"

	"waybill/cmd/internal/place"
	"waybill/ingest"
	"waybill/ingest/claims"
	"waybill/internal/cli"
	"waybill/manifest"
)

// sharing is what says that an import is the work of many.
type sharing struct {
	share bool
	work  string
	slice string
	lease time.Duration
}

func (s *sharing) flags(f *pflag.FlagSet) {
	f.BoolVar(&s.share, "share", false, "share the work with all others that do the same now, and wait for them")
	f.StringVar(&s.work, "work", "", "`ADDRESS` of the container where they tell each other what they do (default: the vault's with -work at its end); implies --share")
	f.StringVar(&s.slice, "slice", "", "`SIZE` of packs that a worker takes on at once, the same for all (default: 4GiB)")
	f.DurationVar(&s.lease, "lease", claims.DefaultLease, "after so long without a sign of life, 15s to 60s, others take over a worker's part")
}

// open fills in how the work on a vault is shared, if it is.
func (s *sharing) open(ctx context.Context, v manifest.Reader, address string, secrets place.Secrets, o *ingest.Options) error {
	if !s.share && s.work == "" {
		return nil
	}
	if s.lease < 15*time.Second || s.lease > time.Minute {
		return cli.Errorf(cli.Usage, "--lease is from 15s to 60s")
	}
	if s.slice != "" {
		size, err := cli.ParseBytes(s.slice)
		if err != nil {
			return cli.Errorf(cli.Usage, "--slice: %w", err)
		}
		o.Slice = size
	}
	doc, err := manifest.OpenVault(ctx, v)
	if err != nil {
		return fmt.Errorf("opening the vault: %w", err)
	}
	work, err := place.OpenWork(ctx, address, s.work, secrets)
	if err != nil {
		return err
	}
	o.Claims = claims.Open(work, string(doc.Vault)+"/", s.lease)
	return nil
}
