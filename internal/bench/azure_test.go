package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"testing"
)

// TestAzure takes a small corpus through all that can be measured, with the programs that are here.
func TestAzure(t *testing.T) {
	needsTools(t)
	for _, name := range []string{"openssl", "rclone", "node"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skip(err)
		}
	}
	var out bytes.Buffer
	dir := t.TempDir()
	if err := benchAzure(t.Context(), []string{"--size", "8", "--runs", "1", "--dir", dir, "--json"}, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	var r azureReport
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	for _, row := range []string{rowFirst, rowUnchanged, rowChanged, rowRestore} {
		if x := r.find("azure", "waybill", row); x == nil || x.Median.Seconds <= 0 || x.Median.Requests <= 0 {
			t.Errorf("%s: %+v", row, x)
		}
	}
	for _, tool := range []string{"waybill-ingest", "rclone"} {
		if x := r.find("azure", tool, rowUpload); x == nil || x.Median.Requests <= 0 {
			t.Errorf("upload with %s: %+v", tool, x)
		}
	}
	if err := r.writeTables(io.Discard); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestAzureJudge(t *testing.T) {
	r := newAzureReport(&azureOptions{})
	for tool, s := range map[string]float64{"waybill-ingest": 2, "rclone": 1.5} {
		r.add("azure", tool, rowUpload, sample{Seconds: s})
	}
	for tool, s := range map[string]float64{"waybill": 2, "restic": 5, "kopia": 2.5} {
		r.add("azure", tool, rowFirst, sample{Seconds: s})
	}
	want := map[string]bool{"upload: waybill-ingest against rclone": false, "first: waybill against restic": true, "first: waybill against kopia": true}
	list := r.judge()
	for _, v := range list {
		if pass, ok := want[v.What]; !ok || v.Pass != pass {
			t.Errorf("%+v", v)
		}
	}
	if len(list) != len(want) {
		t.Errorf("%d verdicts", len(list))
	}
}

func TestRequests(t *testing.T) {
	r := &requests{}
	for _, part := range []string{"starting\n127.0.0.1 - - [x] \"PUT /a/b HTTP/1.1\" 201 -\n127.0.0.1 - - [x] \"G", "ET /a HTTP/1.1\" 200 5\nnothing\n"} {
		io.WriteString(r, part)
	}
	if r.so() != 2 {
		t.Errorf("%d requests", r.so())
	}
}
