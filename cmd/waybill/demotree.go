package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
)

// The demo's tree: letters in folders, a log, and a database of 32 MiB whose pages half compress.
const (
	demoFolders = 12
	demoLetters = 25
	demoPages   = 4096
	demoPage    = 8 << 10
)

func makeDemoTree(dir string) error {
	r := rand.New(rand.NewPCG(1, 2))
	for f := range demoFolders {
		folder := filepath.Join(dir, "letters", fmt.Sprintf("%02d", f))
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return err
		}
		for n := range demoLetters {
			name := filepath.Join(folder, fmt.Sprintf("letter-%d.txt", n))
			if err := os.WriteFile(name, []byte(prose(r, 100+r.IntN(2000))), 0o644); err != nil {
				return err
			}
		}
	}
	db, err := os.Create(filepath.Join(dir, "database"))
	if err != nil {
		return err
	}
	page := make([]byte, demoPage)
	for range demoPages {
		fillPage(r, page)
		if _, err = db.Write(page); err != nil {
			break
		}
	}
	if err = errors.Join(err, db.Close()); err != nil {
		return err
	}
	if err := os.Symlink("letters/00/letter-0.txt", filepath.Join(dir, "first")); err != nil {
		return err
	}
	return os.Link(filepath.Join(dir, "letters", "01", "letter-1.txt"), filepath.Join(dir, "same"))
}

// changeDemoTree writes to 1 % of the database's pages, adds, renames and removes.
func changeDemoTree(dir string) error {
	r := rand.New(rand.NewPCG(3, 4))
	db, err := os.OpenFile(filepath.Join(dir, "database"), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	page := make([]byte, demoPage)
	for range demoPages / 100 {
		fillPage(r, page)
		if _, err = db.WriteAt(page, int64(r.IntN(demoPages))*demoPage); err != nil {
			break
		}
	}
	letters := filepath.Join(dir, "letters")
	return errors.Join(err, db.Close(),
		os.WriteFile(filepath.Join(letters, "new.txt"), []byte(prose(r, 500)), 0o644),
		os.Rename(filepath.Join(letters, "05"), filepath.Join(letters, "answered")),
		os.Remove(filepath.Join(letters, "07", "letter-7.txt")))
}

// fillPage makes a page half of which compresses.
func fillPage(r *rand.Rand, page []byte) {
	for i := range page[:len(page)/2] {
		page[i] = byte(r.Uint32())
	}
	copy(page[len(page)/2:], prose(r, len(page)/10))
}

var demoWords = strings.Fields("the a of to and in is it that for was on are with as his they at be this from have or by one had not but what all were when we there can an your which their said if do will each about how up out them then she many some so these would other into has more her two like him see time could no make than first been its who now people my made over did down only way find use may water long little very after")

// prose writes words, at least n/6 of them.
func prose(r *rand.Rand, n int) string {
	var b strings.Builder
	for range n/6 + 1 {
		b.WriteString(demoWords[r.IntN(len(demoWords))])
		b.WriteByte(" \n"[r.IntN(12)/11])
	}
	return b.String()
}
