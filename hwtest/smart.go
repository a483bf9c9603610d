package hwtest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"time"
)

// Health is what a drive says of itself by SMART.
type Health struct {
	Passed         bool  `json:"passed"`          // the drive's own verdict
	Temperature    int   `json:"temperature"`     // degrees Celsius; 0 for unknown
	PowerOnHours   int64 `json:"power_on_hours"`  //
	Reallocated    int64 `json:"reallocated"`     // sectors replaced by spare ones
	Pending        int64 `json:"pending"`         // sectors that can't be read now
	Uncorrectable  int64 `json:"uncorrectable"`   // sectors that could not be read, or media errors of NVMe
	PercentageUsed int   `json:"percentage_used"` // of what flash endures
}

// health asks the drive, by the program smartctl. It is nil when that isn't installed, may not, or takes long.
func health(ctx context.Context, device string, quick bool) *Health {
	smartctl, err := exec.LookPath("smartctl")
	if err != nil || device == "" {
		return nil
	}
	wait := 30 * time.Second
	if quick {
		wait = 2 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	cmd := exec.CommandContext(ctx, smartctl, "--json", "-a", device)
	var out bytes.Buffer
	cmd.Stdout = &out
	cmd.WaitDelay = time.Second
	cmd.Run() // its status is a set of bits that the answer has too; without an answer there is none
	h, err := parseHealth(out.Bytes())
	if err != nil {
		return nil
	}
	return h
}

// parseHealth reads the answer of `smartctl --json -a`.
func parseHealth(b []byte) (*Health, error) {
	var a struct {
		Status *struct {
			Passed bool `json:"passed"`
		} `json:"smart_status"`
		Temperature struct {
			Current int `json:"current"`
		} `json:"temperature"`
		PowerOn struct {
			Hours int64 `json:"hours"`
		} `json:"power_on_time"`
		ATA struct {
			Table []struct {
				ID  int `json:"id"`
				Raw struct {
					Value int64 `json:"value"`
				} `json:"raw"`
			} `json:"table"`
		} `json:"ata_smart_attributes"`
		NVMe struct {
			PercentageUsed int   `json:"percentage_used"`
			MediaErrors    int64 `json:"media_errors"`
		} `json:"nvme_smart_health_information_log"`
	}
	if err := json.Unmarshal(b, &a); err != nil {
		return nil, fmt.Errorf("the answer of smartctl: %w", err)
	}
	if a.Status == nil {
		return nil, fmt.Errorf("the answer of smartctl has no status")
	}
	h := &Health{Passed: a.Status.Passed, Temperature: a.Temperature.Current, PowerOnHours: a.PowerOn.Hours,
		Uncorrectable: a.NVMe.MediaErrors, PercentageUsed: a.NVMe.PercentageUsed}
	for _, row := range a.ATA.Table { // the numbers that all makers agree on
		switch row.ID {
		case 5:
			h.Reallocated = row.Raw.Value
		case 197:
			h.Pending = row.Raw.Value
		case 198:
			h.Uncorrectable = row.Raw.Value
		}
	}
	return h, nil
}

func (r *Report) judgeHealth(h *Health) {
	if !h.Passed {
		r.unfit("the drive says of itself that it is failing (SMART)")
	}
	if h.Pending > 0 {
		r.unfit("%d sectors can't be read (SMART: pending)", h.Pending)
	}
	if h.PercentageUsed >= 100 {
		r.unfit("its flash is worn out: %d %% of its life used (SMART)", h.PercentageUsed)
	} else if h.PercentageUsed >= 80 {
		r.remark("%d %% of its flash's life is used (SMART)", h.PercentageUsed)
	}
	if h.Reallocated > 0 {
		r.remark("%d sectors were replaced by spare ones (SMART: reallocated)", h.Reallocated)
	}
	if h.Uncorrectable > 0 {
		r.remark("%d sectors could not be read before (SMART: uncorrectable)", h.Uncorrectable)
	}
	if h.Temperature >= 60 {
		r.remark("it is hot: %d °C", h.Temperature)
	}
}
