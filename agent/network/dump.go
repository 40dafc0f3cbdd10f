package network

import (
	"errors"

	"github.com/vishvananda/netlink"
)

// maxDumps is how often a list is asked for anew; somebody would have to
// change links or routes during each of them.
const maxDumps = 50

// whole returns a list of the machine's kernel that nothing was changed
// during, which the kernel says; otherwise it asks again.
func whole[T any](list func() ([]T, error)) (all []T, err error) {
	for range maxDumps {
		if all, err = list(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return all, err
}
