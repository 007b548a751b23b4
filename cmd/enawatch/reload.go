package main

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// firstLook is how long requests wait for the first readings after a reload.
const firstLook = 3 * time.Second

// reload does what SIGHUP asks for: it reads the configuration again and returns
// the setup that runs by it. If that is not to be had, old goes on, and everyone
// who looks is told why. An error ends the program.
//
// All that can fail is made while old reads. Then old reads once more, closes its
// window and hands its baselines on: between the two readings lie milliseconds,
// and what counters grow by in them is the new window's first delta. Whoever
// asks the HTTP endpoint meanwhile waits for the new readings.
func (p *process) reload(ctx context.Context, old *setup) (*setup, error) {
	p.manager.Reloading()
	old.out.reopen() // whatever becomes of the configuration
	cfg, err := p.load()
	if err == nil && cfg.StateDir != old.cfg.StateDir {
		err = fmt.Errorf("state_dir can't change from %s to %s while the agent runs: restart it", old.cfg.StateDir, cfg.StateDir)
	}
	var s *setup
	if err == nil {
		s, err = p.prepare(ctx, cfg, old)
	}
	if err != nil {
		p.reloads.Refused()
		p.manager.Refused(err)
		p.log.Error("the configuration was not reloaded: the old one stays in force", "err", err)
		return old, nil
	}
	p.gate.Lock()
	open := sync.OnceFunc(p.gate.Unlock)
	old.halt()
	soon, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	old.out.pusher.close(soon)
	p.turnout.set(s.handler)
	p.reloads.Loaded(time.Now())
	p.manager.Reloaded()
	p.current = s
	if err := s.start(ctx, old, open); err != nil {
		open()
		return nil, fmt.Errorf("start by the new configuration: %w", err)
	}
	time.AfterFunc(firstLook, open)
	p.log.Info("the configuration was reloaded", "sample_interval", cfg.SampleInterval, "publish_interval", cfg.PublishInterval)
	return s, nil
}
