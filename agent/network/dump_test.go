package network

import (
	"errors"
	"testing"

	"github.com/vishvananda/netlink"
)

func TestWholeAsksAgain(t *testing.T) {
	asked := 0
	all, err := whole(func() ([]int, error) {
		if asked++; asked < 3 {
			return []int{1}, netlink.ErrDumpInterrupted
		}
		return []int{1, 2}, nil
	})
	if err != nil || len(all) != 2 {
		t.Errorf("%v, %v after %d questions", all, err, asked)
	}
	asked, other := 0, errors.New("no such device")
	if _, err := whole(func() ([]int, error) { asked++; return nil, other }); err != other || asked != 1 {
		t.Errorf("%v after %d questions", err, asked)
	}
	asked = 0
	if _, err := whole(func() ([]int, error) { asked++; return nil, netlink.ErrDumpInterrupted }); err == nil || asked != maxDumps {
		t.Errorf("%v after %d questions", err, asked)
	}
}
