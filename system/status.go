package system

import (
	"context"
	"os"
	"sync"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/api"
)

// parts is how each part of the computer is.
type parts struct {
	mu   sync.Mutex
	list []api.Part
	all  bool // none is missing in list
}

func (p *parts) set(name, state, message string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.list {
		if p.list[i].Name == name {
			p.list[i].State, p.list[i].Message = state, message
			return
		}
	}
	p.list = append(p.list, api.Part{Name: name, State: state, Message: message})
}

// ready says that a part is, and keeps what was noted about it meanwhile.
func (p *parts) ready(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.list {
		if p.list[i].Name == name {
			p.list[i].State = api.PartReady
		}
	}
}

// note says something about a part that does not keep it from being ready.
func (p *parts) note(name, message string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.list {
		if p.list[i].Name == name {
			p.list[i].Message = message
		}
	}
}

func (p *parts) complete() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = true
}

// look returns the parts, and whether all are there and ready.
func (p *parts) look() ([]api.Part, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ready := p.all
	list := make([]api.Part, len(p.list))
	copy(list, p.list)
	for _, part := range list {
		ready = ready && part.State == api.PartReady
	}
	return list, ready
}

// Status is the computer as a whole.
func (s *System) Status(context.Context) api.Status {
	list, ready := s.parts.look()
	st := api.Status{Ready: ready, Version: volvox.Version, Data: s.layout.Data, API: s.layout.APISocket(),
		PID: os.Getpid(), StartedAt: s.began, Parts: list}
	if ready {
		st.Machine, st.Network = s.name, s.where
	}
	if s.tcp != nil {
		st.Listen = s.tcp.Address()
	}
	return st
}

// Shutdown begins to stop the computer, as [Up] then does.
func (s *System) Shutdown(_ context.Context, o api.Shutdown) error {
	how := Leave
	switch {
	case o.Purge:
		how = Purge
	case o.StopInstances:
		how = Halt
	}
	select {
	case s.stop <- how:
	default: // it is being stopped already
	}
	return nil
}

// Doctor looks at this machine.
func (s *System) Doctor(ctx context.Context) ([]api.Check, error) { return Doctor(ctx, s.layout.Data) }
