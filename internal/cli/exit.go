package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Code is an exit code.
type Code int

// The exit codes; Exits says what they mean.
const (
	OK            Code = 0
	Failed        Code = 1
	Usage         Code = 2
	Unreadable    Code = 3
	NoVault       Code = 10
	Busy          Code = 11
	WrongKey      Code = 12
	Offline       Code = 13
	Damaged       Code = 20
	Incomplete    Code = 21
	BadSignature  Code = 22
	DiskFull      Code = 23
	Conflict      Code = 24
	ChainConflict Code = 25
	NextDisk      Code = 26
	Unfit         Code = 27
	NoJournal     Code = 28
	Incident      Code = 29
	Interrupted   Code = 130
)

// An Exit is one exit code and its meaning.
type Exit struct {
	Code    Code
	Name    string // as JSON shows it
	Meaning string
}

// Exits returns every exit code of the programs, ascending. Help, man pages and the README show it.
func Exits() []Exit {
	return []Exit{
		{OK, "ok", "done"},
		{Failed, "failed", "failed, for a reason that has no code of its own"},
		{Usage, "usage", "called in a way that makes no sense; nothing was done"},
		{Unreadable, "unreadable", "done, but some items of the source could not be read or changed while they were read; they are listed"},
		{NoVault, "no_vault", "no vault there, or this machine isn't registered"},
		{Busy, "busy", "another run is at work on this machine's state"},
		{WrongKey, "wrong_key", "wrong passphrase, recovery key or machine"},
		{Offline, "offline", "the vault is out of reach, and was waited for long enough; what was done is kept, the next run goes on from there"},
		{Damaged, "damaged", "something stored is damaged; what exactly is listed"},
		{Incomplete, "incomplete", "packs are missing: a disk of the set has not arrived, or is not here"},
		{BadSignature, "bad_signature", "a signature doesn't verify: not written by this machine, or changed since"},
		{DiskFull, "disk_full", "no space left where it had to write"},
		{Conflict, "conflict", "the restore target has something in the way"},
		{ChainConflict, "chain_conflict", "the vault holds a different commit in this machine's place of the chain"},
		{NextDisk, "next_disk", "the disks are full, or none is left that works; what is done is kept: give the next disk with `waybill seed --resume --to DISK`"},
		{Unfit, "unfit", "a medium is not fit to carry a backup; the reasons are listed"},
		{NoJournal, "no_journal", "a change journal was required and can't vouch for what changed; nothing was saved"},
		{Incident, "incident", "done, but a look at everything found changes that a change journal had missed; they are saved, and listed"},
		{Interrupted, "interrupted", "interrupted; what was done is kept, the next run goes on from there"},
	}
}

// Name is the code's name in JSON.
func (c Code) Name() string {
	for _, e := range Exits() {
		if e.Code == c {
			return e.Name
		}
	}
	return Failed.Name()
}

// exitTable is the codes as help shows them.
func exitTable() string {
	var b strings.Builder
	for _, e := range Exits() {
		fmt.Fprintf(&b, "%5d  %s\n", e.Code, e.Meaning)
	}
	return b.String()
}

// An Error is an error for people: what happened, what to do about it, and the
// exit code that tells scripts.
type Error struct {
	Err  error
	Hint string // what to do; empty when there is nothing to say
	Code Code
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Errorf returns an Error without a hint.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Err: fmt.Errorf(format, args...), Code: code}
}

// Hinted adds a hint and returns the error.
func (e *Error) Hinted(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// A Rule ties an error of some package to an exit code and a hint.
type Rule struct {
	Is   error            // applies to errors that are this one
	As   func(error) bool // or, when Is is nil, to errors this function knows
	Code Code
	Hint string
}

// Explain finds what to tell the user about err. An Error in err's chain decides, filled up from the
// first rule that applies; else that rule does.
func Explain(err error, rules []Rule) *Error {
	out := &Error{Err: err, Code: Failed}
	for _, r := range rules {
		if r.applies(err) {
			out.Code, out.Hint = r.Code, r.Hint
			break
		}
	}
	if errors.Is(err, context.Canceled) {
		out.Err = interruption{err} // where it was stopped is of no use to anyone
		out.Code, out.Hint = Interrupted, "run the same again: it goes on from what is done"
	}
	var known *Error
	if errors.As(err, &known) {
		if known.Code != OK {
			out.Code = known.Code
		}
		if known.Hint != "" {
			out.Hint = known.Hint
		}
	}
	return out
}

// An interruption is an error of a run that its user stopped.
type interruption struct{ error }

func (interruption) Error() string   { return "interrupted" }
func (e interruption) Unwrap() error { return e.error }

func (r Rule) applies(err error) bool {
	if r.Is != nil {
		return errors.Is(err, r.Is)
	}
	return r.As(err)
}
