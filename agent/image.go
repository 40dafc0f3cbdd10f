package agent

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/volvox-os/volvox/machine"
)

// imageKeeper fetches images for keepers and removes those that no instance
// uses.
type imageKeeper struct {
	a *Agent

	mu   sync.Mutex // held while images are removed, so that none is handed out then
	busy map[string]int
	told map[string]string // reference to digest, as the control knows it

	timer sync.Mutex
	due   *time.Timer
}

// ensure returns an image and sees to it that it stays while it is wished.
func (k *imageKeeper) ensure(ctx context.Context, ref string, progress func(string)) (Image, error) {
	k.mu.Lock()
	k.busy[ref]++
	k.mu.Unlock()
	i, err := k.a.o.Images.Ensure(ctx, ref, progress)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.busy[ref]--; k.busy[ref] == 0 {
		delete(k.busy, ref)
	}
	if err == nil && k.told[ref] != i.Digest {
		k.told[ref] = i.Digest
		k.a.reports.addImage(machine.Image{Machine: k.a.o.Machine.Name, Ref: ref, Digest: i.Digest, Bytes: i.Bytes,
			Packages: i.Packages, FetchedAt: time.Now()})
	}
	return i, err
}

// collect removes the images that no wish names and no container uses: one
// may still run from an image that is wished for no more. Failing is no harm:
// the next time does it.
func (k *imageKeeper) collect(ctx context.Context, all bool) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	found, err := k.a.looking.look(ctx)
	if err != nil {
		return err
	}
	var inUse []string
	for _, s := range found {
		if digest := s.Labels[labelImage]; digest != "" && !slices.Contains(inUse, digest) {
			inUse = append(inUse, digest)
		}
	}
	for ref := range k.busy {
		inUse = append(inUse, ref)
	}
	if !all {
		for _, ref := range k.a.refs() {
			if !slices.Contains(inUse, ref) {
				inUse = append(inUse, ref)
			}
		}
	}
	removed, err := k.a.o.Images.Collect(ctx, inUse)
	for _, i := range removed {
		delete(k.told, i.Ref)
		k.a.reports.addImage(machine.Image{Machine: k.a.o.Machine.Name, Ref: i.Ref, Digest: i.Digest, Bytes: i.Bytes, Gone: true})
	}
	return err
}

// collectLater collects once after the grace; a call before that puts it off.
func (k *imageKeeper) collectLater(wake chan struct{}) {
	k.timer.Lock()
	defer k.timer.Unlock()
	if k.due == nil {
		k.due = time.AfterFunc(k.a.o.ImageGrace, func() { notify(wake) })
		return
	}
	k.due.Reset(k.a.o.ImageGrace)
}

func (k *imageKeeper) stop() {
	k.timer.Lock()
	defer k.timer.Unlock()
	if k.due != nil {
		k.due.Stop()
	}
}

// refs are the images of all instances that are there or wished for.
func (a *Agent) refs() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var refs []string
	for _, k := range a.keepers {
		if ref := k.current().Spec.Image; ref != "" {
			refs = append(refs, ref)
		}
	}
	return refs
}
