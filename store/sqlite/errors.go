package sqlite

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/volvox-os/volvox"
	"zombiezen.com/go/sqlite"
)

// wrap gives an error of SQLite the code that people know it by.
func wrap(err error) error {
	var known *volvox.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	switch code := sqlite.ErrCode(err); code.ToPrimary() {
	case sqlite.ResultFull:
		return volvox.Errorf(volvox.DiskFull, "the disk is full").From(err)
	case sqlite.ResultCorrupt, sqlite.ResultNotADB:
		return volvox.Errorf(volvox.Corrupt, "the kernel's file is damaged").From(err)
	case sqlite.ResultBusy, sqlite.ResultLocked:
		return volvox.Errorf(volvox.Unavailable, "the kernel's file is held by another program").From(err).
			WithTry("end the program that has the file open; volvox sql reads it too")
	case sqlite.ResultReadOnly:
		return volvox.Errorf(volvox.ReadOnly, "nothing can be changed here").From(err)
	case sqlite.ResultError:
		if strings.Contains(err.Error(), "because it is a view") {
			return volvox.Errorf(volvox.ReadOnly, "nothing can be changed here").Because("the statement changes something, and SQL reads here").From(err)
		}
	case sqlite.ResultConstraint:
		switch code {
		case sqlite.ResultConstraintUnique, sqlite.ResultConstraintPrimaryKey, sqlite.ResultConstraintRowID:
			return volvox.Errorf(volvox.Exists, "there is such a row already").Because("%s", words(err))
		}
	}
	return err
}

var place = regexp.MustCompile(`^(\d+):(\d+): `)

// words is the message of SQLite alone, with the place it is about.
func words(err error) string {
	text := err.Error()
	for _, prefix := range []string{"sqlite: step: ", "sqlite: prepare: ", "sqlite: reset: "} {
		text = strings.TrimPrefix(text, prefix)
	}
	text = place.ReplaceAllString(text, "line $1, column $2: ")
	return strings.Replace(text, "SQL logic error: ", "", 1)
}

// asked is an error of a person's statement in words.
func asked(err error) error {
	err = wrap(err)
	var known *volvox.Error
	if errors.As(err, &known) {
		return err
	}
	if fatal(err) {
		return volvox.Errorf(volvox.Unavailable, "the kernel could not be read").From(err)
	}
	return volvox.Errorf(volvox.BadSQL, "%s", words(err))
}

// fatal says whether after an error the whole group has to be run again: it
// is about the machine, and may have rolled back more than the statement.
func fatal(err error) bool {
	switch sqlite.ErrCode(err).ToPrimary() {
	case sqlite.ResultFull, sqlite.ResultIOErr, sqlite.ResultNoMem, sqlite.ResultInterrupt,
		sqlite.ResultCorrupt, sqlite.ResultNotADB, sqlite.ResultCantOpen, sqlite.ResultProtocol:
		return true
	}
	return false
}

func errClosed() *volvox.Error {
	return volvox.Errorf(volvox.Unavailable, "the kernel is closed")
}

func errSlowClosure(limit fmt.Stringer) *volvox.Error {
	return volvox.Errorf(volvox.SlowClosure, "a transaction was undone").
		Because("it took longer than %s", limit).
		WithTry("wait for nothing in a transaction, above all not for another transaction")
}

func errSlowView(limit fmt.Stringer) *volvox.Error {
	return volvox.Errorf(volvox.SlowView, "a reading was ended").
		Because("it took longer than %s", limit).WithTry("read in smaller pieces")
}

// errBroken is what every write gets after the disk has failed to keep one.
func errBroken(err error) *volvox.Error {
	return volvox.Errorf(volvox.Unavailable, "the kernel takes no more writes until it is opened anew").
		Because("the disk did not confirm a write (%s); whether the last transactions were kept shows after that", words(err)).
		From(err).WithTry("check the disk, then volvox down and volvox up")
}
