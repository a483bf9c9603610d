package main

import (
	"context"
	"testing"
	"time"

	"waybill/internal/line"
)

// Who interrupts a run gets what is on its way sent; not when that would take until the end of a pause.
func TestInterruptedInPause(t *testing.T) {
	for rate, ends := range map[string]bool{"pause": true, "2Mbit": false} {
		up, err := limiter("--limit-upload", []string{rate}, "")
		if err != nil {
			t.Fatal(err)
		}
		if (up.Rate() == line.Pause) != ends {
			t.Fatalf("%s is %v", rate, up.Rate())
		}
		ctx, interrupt := context.WithCancel(t.Context())
		sending, stop := (&vaultLine{up: up}).sending(ctx)
		interrupt()
		select {
		case <-sending.Done():
			if !ends {
				t.Errorf("%s: it is broken off", rate)
			}
		case <-time.After(map[bool]time.Duration{true: 10 * time.Second, false: 100 * time.Millisecond}[ends]):
			if ends {
				t.Errorf("%s: it goes on", rate)
			}
		}
		stop()
	}
}
