package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"testing"
)

// TestShip takes a small seed through all that can be measured of one so small: it is over before it could be stopped halfway.
func TestShip(t *testing.T) {
	needsTools(t)
	var out bytes.Buffer
	dir := t.TempDir()
	args := []string{"--rows", "disks,parity,ingest,verify,lost", "--size", "8", "--rate", "1000", "--runs", "1", "--dir", dir, "--json"}
	if err := benchShip(t.Context(), args, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	var r shipReport
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	for _, row := range []string{rowSeedOff, rowSeed1, rowSeed2, rowSeedSet, rowShipCp, rowShipSum, rowShipIn, rowShipMend, rowShipCheck, rowLostCp, rowLostSum, rowLostIn} {
		if got, ok := r.row(row); !ok || got.Seconds <= 0 || got.Peak <= 0 {
			t.Errorf("%s: %+v", row, got)
		}
	}
	if in, _ := r.row(rowShipIn); in.Stored < 100<<10 {
		t.Errorf("ingest brought %d bytes", in.Stored)
	}
	if err := r.writeTables(io.Discard); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestShipJudge(t *testing.T) {
	r := newShipReport(&shipOptions{})
	for row, s := range map[string]sample{
		rowSlow(1):   {Seconds: 10},
		rowSlow(2):   {Seconds: 5},
		rowSlow(4):   {Seconds: 4},
		rowFast:      {Seconds: 3},
		rowSeedOff:   {Seconds: 3, User: 4, Stored: 1000},
		rowSeed1:     {Seconds: 6, User: 5, Stored: 1050},
		rowShipCp:    {Seconds: 1},
		rowShipSum:   {Seconds: 2},
		rowShipIn:    {Seconds: 2, Peak: 400 << 20},
		rowUntilKill: {Seconds: 3},
		rowAfterKill: {Seconds: 5.1},
	} {
		r.add("shipped", "waybill", row, s)
	}
	want := map[string]bool{
		"2 slow disks: of the speed of 2 times one, or of what the CPU can do":  true,
		"4 slow disks: of the speed of 4 times one, or of what the CPU can do":  false,
		"seed, 20+1: times the seconds of no parity":                            false,
		"seed, 20+1: times its bytes":                                           true,
		"ingest of a disk: of the speed of the slower of cp and sha256sum":      true,
		"the rest, after SIGKILL: with the half before, times a seed at one go": false,
		"peak MiB: in ingest of a disk":                                         false,
	}
	for _, v := range r.judge() {
		if pass, ok := want[v.What]; ok != (v.Goal != "") || pass != v.Pass {
			t.Errorf("%+v", v)
		}
		delete(want, v.What)
	}
	if len(want) > 0 {
		t.Errorf("no verdict: %v", want)
	}
}

func TestShipRefuses(t *testing.T) {
	for name, args := range map[string][]string{
		"unknown row": {"--rows", "speed"},
		"no runs":     {"--runs", "0"},
		"no size":     {"--size", "0"},
		"no rate":     {"--rate", "0"},
		"too large":   {"--size", "1000000"},
		"arguments":   {"somewhere"},
		"not there":   {"--waybill", "/nowhere/waybill", "--size", "1"},
	} {
		if err := benchShip(t.Context(), append([]string{"--dir", t.TempDir()}, args...), io.Discard, io.Discard); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
