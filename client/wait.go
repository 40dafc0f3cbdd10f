package client

import (
	"fmt"
	"time"

	"github.com/volvox-os/volvox"
)

// failedFor is how long a database may be Failed before the wait for it ends:
// what crashed is started again meanwhile.
const failedFor = time.Minute

// Lookout is what is known of a database that is waited for.
type Lookout struct {
	failed time.Time // since when it is Failed; zero: it is not
	last   string    // how it is, in words
}

// Look says whether the wait is over, and with which error.
func (l *Lookout) Look(d Cluster, members []Instance, now time.Time) (bool, error) {
	ready := 0
	for _, m := range members {
		if m.Ready && m.Phase == volvox.Running {
			ready++
		}
	}
	l.last = fmt.Sprintf("it is %s, %d of %d members are ready", d.Phase, ready, d.Replicas)
	if d.Message != "" {
		l.last += ": " + d.Message
	}
	if d.Phase != volvox.Failed {
		l.failed = time.Time{}
		return d.Phase == volvox.Running && ready >= d.Replicas, nil
	}
	if l.failed.IsZero() {
		l.failed = now
	}
	if now.Sub(l.failed) < failedFor {
		return false, nil
	}
	code := d.Code
	if code == "" {
		code = volvox.NotReady
	}
	return true, volvox.Errorf(code, "database %s is Failed", d.Name).About(d.Ref()).Because("%s", l.last).
		WithTry("volvox db events %s", d.Name).WithTry("volvox db logs %s", d.Name)
}

// Late is the error of a wait whose time is over.
func (l *Lookout) Late(name string) error {
	e := volvox.Errorf(volvox.StillRunning, "stopped waiting for database %s", name).WithTry("volvox db show %s", name).
		WithTry("volvox db wait %s --timeout 30m", name)
	if l.last != "" {
		e = e.Because("%s", l.last)
	}
	return e
}
