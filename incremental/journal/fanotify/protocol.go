package fanotify

import (
	"time"

	"waybill/incremental/journal"
)

// A request to an agent is one line of JSON on its socket, and so is the reply.
type request struct {
	Op     string `json:"op"`               // sync or status
	Device string `json:"device,omitempty"` // of the file system, major:minor as in mountinfo
}

type reply struct {
	Gap    *journal.Gap `json:"gap,omitempty"`    // why there is no answer
	Status *Status      `json:"status,omitempty"` // for status

	// for sync
	Dir      string    `json:"dir,omitempty"` // of the log
	Volume   string    `json:"volume,omitempty"`
	Journal  string    `json:"journal,omitempty"`
	First    uint64    `json:"first,omitempty"`
	Position uint64    `json:"position,omitempty"`
	Size     int64     `json:"size,omitempty"`
	Since    time.Time `json:"since,omitzero"`
	Taken    time.Time `json:"taken,omitzero"`
}

const (
	opSync   = "sync"
	opStatus = "status"
)

const hintStart = "start it with `waybill agent`, best as a service: deploy/waybill-agent.service"
