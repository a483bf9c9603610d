package carrier

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"strings"
	"testing"
	"unicode/utf16"

	"waybill/manifest"
)

const (
	machineID manifest.ID = "0b7a4e1c-8c55-4f0d-bb1e-5a2f9a6d3c02"
	setID     manifest.ID = "d2c4b8a0-1f3e-4c6d-8a9b-7e5f3d1c0b03"
	otherSet  manifest.ID = "11111111-2222-4333-8444-555555555555"
)

// sent is pack n of the tests.
func sent(n byte) manifest.Pack {
	return manifest.Pack{Name: manifest.Digest{n, 1}, Class: manifest.Data, Size: 1000 + int64(n), CRC64: 0x51c78833c90e4e00 + uint64(n), MD5: [16]byte{n, 2}, Disk: 1}
}

// at is where pack n is, with backslashes.
func at(n byte) string {
	return strings.ReplaceAll(manifest.PackName(machineID, sent(n).Name), "/", `\`)
}

func bom(n byte, size int64, crc uint64) string {
	return fmt.Sprintf("<file size=\"%d\" crc64=\"0x%016x\">\\seed\\%s</file>\n", size, crc, at(n))
}

func good(n byte) string { return bom(n, sent(n).Size, sent(n).CRC64) }

func verbose(container string, n byte) string {
	return fmt.Sprintf("<File CloudFormat=\"BlockBlob\" Path=\"%s\\%s\" Size=\"%d\" crc64=\"%d\">\n</File>", container, at(n), sent(n).Size, sent(n).CRC64)
}

func errored(path, category, code, message, typ string) string {
	return fmt.Sprintf(`<ErroredEntity Path="%s">
  <Category>%s</Category>
  <ErrorCode>%s</ErrorCode>
  <ErrorMessage>%s</ErrorMessage>
  <Type>%s</Type>
</ErroredEntity>`, path, category, code, message, typ)
}

func copySummary(status string) string {
	return `<CopyLog Summary="Summary">
  <Status>` + status + `</Status>
  <TotalFiles_Blobs>72</TotalFiles_Blobs>
  <FilesErrored>2</FilesErrored>
</CopyLog>`
}

func blob(n byte, status, disposition, hash, blockStatus string) string {
	return fmt.Sprintf(`  <Blob Status="%s">
    <BlobPath>seed/%s</BlobPath>
    <FilePath>\BlockBlob\seed\%s</FilePath>
    <Length>%d</Length>
    <ImportDisposition Status="%s">rename</ImportDisposition>
    <BlockList>
      <Block Offset="0" Length="%d" Id="AAAAAA==" Hash="%s" Status="%s" />
    </BlockList>
  </Blob>
`, status, strings.ReplaceAll(at(n), `\`, "/"), at(n), sent(n).Size, disposition, sent(n).Size, hash, blockStatus)
}

func driveLog(blobs string) string {
	return `<?xml version="1.0" encoding="utf-8"?>
<DriveLog Version="2018-10-01">
  <DriveId>184020D95632</DriveId>
  <Summary><ValidationErrors><None Count="3" /></ValidationErrors></Summary>
<!-- renamed -->
` + blobs + `  <Status>Completed</Status>
</DriveLog>`
}

func wideLog(s string) string {
	var b bytes.Buffer
	binary.Write(&b, binary.LittleEndian, append([]uint16{0xfeff}, utf16.Encode([]rune(s))...))
	return b.String()
}

func TestReconcile(t *testing.T) {
	succeeded := "<?xml version=\"1.0\"?>\n-" + copySummary("Succeeded")
	for name, test := range map[string]struct {
		logs   []string
		fate   Fate
		reason string // a part of it
	}{
		"nothing":                      {[]string{succeeded}, Unlisted, ""},
		"loaded":                       {[]string{good(1)}, Loaded, ""},
		"loaded and not complained of": {[]string{good(1), succeeded}, Arrived, ""},
		"byte order of the checksum":   {[]string{bom(1, sent(1).Size, bits.ReverseBytes64(sent(1).CRC64))}, Loaded, ""},
		"another size":                 {[]string{bom(1, 10, sent(1).CRC64), succeeded}, Failed, "10 bytes"},
		"another checksum":             {[]string{bom(1, sent(1).Size, 5)}, Failed, "CRC-64 is 0000000000000005"},
		"no checksum":                  {[]string{bom(1, sent(1).Size, 0)}, Failed, "no crc64"},
		"verbose":                      {[]string{verbose("seed", 1) + verbose("seed", 2)}, Arrived, ""},
		"verbose cut out":              {[]string{verbose("seed", 1) + "\n----------CUT-----\n" + verbose("seed", 2)}, Arrived, ""},
		"UTF-16":                       {[]string{wideLog(verbose("seed", 1))}, Arrived, ""},
		"UTF-8 mark":                   {[]string{"\xef\xbb\xbf" + verbose("seed", 1)}, Arrived, ""},
		"failed": {[]string{good(1), errored(`seed\`+at(1), "UploadErrorCloudHttp", "409", "The blob type is invalid for this operation.", "File") +
			copySummary("Failed")}, Failed, "UploadErrorCloudHttp 409 The blob"},
		"renamed": {[]string{good(1), errored(`seed\`+at(1), "BlobRenamed", "1",
			"The original container/share/blob has been renamed to: seed/DataBox-0123 :from: x :because either name has invalid character(s)", "File") + copySummary("Failed")}, Renamed, "BlobRenamed"},
		"container renamed": {[]string{good(1), errored("seed", "ContainerRenamed", "1",
			"The original container/share/blob has been renamed to: DataBox-0123 :from: seed :because", "Container") + copySummary("Failed")}, Renamed, "ContainerRenamed"},
		"another container": {[]string{good(1), errored("see", "ContainerRenamed", "1", "renamed to: x :from: see", "Container") + copySummary("Failed")}, Arrived, ""},
		"refused on the device": {[]string{`<file error="ERROR_BLOB_OR_FILE_NAME_CHARACTER_ILLEGAL" name_encoding="Base64">` +
			base64.StdEncoding.EncodeToString([]byte(`\seed\`+at(1))) + `</file>`}, Failed, "CHARACTER_ILLEGAL"},
		"drive":               {[]string{driveLog(blob(1, "Completed", "Created", " 01020000000000000000000000000000", "Completed"))}, Arrived, ""},
		"drive, another hash": {[]string{driveLog(blob(1, "Completed", "Created", "9C8AE14A55241F98533C4D80D85CDC68", "Completed"))}, Failed, "MD5"},
		"drive, no hash":      {[]string{driveLog(blob(1, "Completed", "Created", "", "Completed"))}, Arrived, ""},
		"drive, corrupted":    {[]string{driveLog(blob(1, "CompletedWithErrors", "Overwritten", "", "Corrupted"))}, Failed, "CompletedWithErrors"},
		"drive, not found":    {[]string{driveLog(blob(1, "FileNotFound", "Cancelled", "", "Cancelled"))}, Failed, "FileNotFound"},
		"drive, renamed":      {[]string{driveLog(blob(1, "Completed", "Renamed", "", "Completed"))}, Renamed, ""},
		"drive, skipped":      {[]string{driveLog(blob(1, "Completed", "Skipped", "", "Completed"))}, Failed, "Skipped"},
		"container of a drive": {[]string{driveLog(fmt.Sprintf(`<Blob Status="ContainerRenamed"><BlobPath>databox-c2073fd1/%s</BlobPath>
			<OriginalFilePath>\BlockBlob\my seed\%s</OriginalFilePath><SizeInBytes>%d</SizeInBytes></Blob>`, at(1), at(1), sent(1).Size))}, Renamed, "ContainerRenamed"},
		"validation": {[]string{`<ErrorLog Version="2018-10-01"><SessionId>session#1</SessionId><Errors><Error Code="InvalidBlobNameFormat">
			<Description>x</Description><List><File Path="\seed\` + at(1) + `" /></List><Count>1</Count></Error></Errors><Warnings /></ErrorLog>`}, Failed, "InvalidBlobNameFormat"},
		"the worst counts": {[]string{errored(`seed\`+at(1), "UploadErrorWin32", "2", "", "File"), verbose("seed", 1)}, Failed, "UploadErrorWin32"},
	} {
		r := New()
		r.Expect(machineID, setID, sent(1))
		for _, log := range test.logs {
			s, err := Read(strings.NewReader(log), r.Add)
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			r.Close(s)
		}
		if p := r.Result().Packs[0]; p.Fate != test.fate || !strings.Contains(p.Reason, test.reason) || test.fate == Renamed && p.NewTo == "" {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

// Only sets that the logs are about count, and files beside packs are told when they fail.
func TestReconcileSets(t *testing.T) {
	r := New()
	r.Expect(machineID, setID, sent(1))
	r.Expect(machineID, setID, sent(2))
	r.Expect(machineID, otherSet, sent(3))
	if got := r.Result(); len(got.Packs) != 3 {
		t.Errorf("no log at all: %+v", got)
	}
	log := verbose("seed", 1) + errored(`seed\machines\`+string(machineID)+`\manifests\00000001.json`, "UploadErrorWin32", "5", "", "File") +
		errored(`photos\cat.jpg`, "UploadErrorWin32", "5", "", "File")
	s, err := Read(strings.NewReader(log), r.Add)
	if err != nil || s.Entries != 3 || s.Kind != "verbose log" {
		t.Fatalf("%+v, %v", s, err)
	}
	got := r.Result()
	if len(got.Packs) != 2 || got.Packs[0].Fate != Arrived || got.Packs[1].Fate != Unlisted || len(got.Others) != 1 || !strings.HasSuffix(got.Others[0].Path, "00000001.json") {
		t.Errorf("%+v", got)
	}
}

func TestHostileLogs(t *testing.T) {
	stop := errors.New("enough")
	for name, test := range map[string]struct {
		log  string
		want error
	}{
		"nothing":       {"", ErrLog},
		"no log":        {"<html><body>Sign in</body></html>", ErrLog},
		"no XML":        {"PK\x03\x04\x00\x00", ErrLog},
		"cut off":       {good(1)[:40], ErrLog},
		"entities":      {`<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><file size="1" crc64="0x1">&b;</file>`, ErrLog},
		"deep":          {strings.Repeat("<a>", 100), ErrLog},
		"a long path":   {`<file size="1" crc64="0x1">` + strings.Repeat("x", 3*maxToken) + `</file>`, ErrLog},
		"a long tag":    {`<file ` + strings.Repeat(`a="b" `, maxToken) + `>`, ErrLog},
		"a long remark": {`<!--` + strings.Repeat("x", 3*maxToken) + `-->`, ErrLog},
		"half a UTF-16": {"\xff\xfe<", ErrLog},
		"whoever reads": {good(1), stop},
	} {
		if _, err := Read(strings.NewReader(test.log), func(Entry) error { return stop }); !errors.Is(err, test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	r := New()
	for i := range maxOthers + 5 {
		if err := r.Add(Entry{Path: fmt.Sprintf("keys/%d", i), Fate: Failed}); err != nil {
			t.Fatal(err)
		}
	}
	if got := r.Result(); len(got.Others) != maxOthers || got.More != 5 {
		t.Errorf("%d kept, %d more", len(got.Others), got.More)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(good(1) + verbose("seed", 2)))
	f.Add([]byte(errored("seed", "ContainerRenamed", "1", "renamed to: x :from: y", "Container") + copySummary("Failed")))
	f.Add([]byte(driveLog(blob(1, "Completed", "Created", "9C8AE14A55241F98533C4D80D85CDC68", "Completed"))))
	f.Add([]byte(wideLog(good(1))))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := New()
		r.Expect(machineID, setID, sent(1))
		s, err := Read(bytes.NewReader(b), r.Add)
		if err == nil && s.Kind == "" {
			t.Error("a log of no kind")
		}
		r.Close(s)
		if got := r.Result(); len(got.Packs) != 1 {
			t.Errorf("%+v", got)
		}
	})
}
