package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"slices"
	"sync/atomic"

	"golang.org/x/term"

	"github.com/enawatch/enawatch/agent/config"
)

// newHandler logs to w, which is stderr: stdout is for EMF and nothing else.
func newHandler(w io.Writer, c config.Log) slog.Handler {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		level = slog.LevelInfo // config allows no other word
	}
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: readable}
	if c.Format == "text" || c.Format == "auto" && isTerminal(w) {
		return slog.NewTextHandler(w, options)
	}
	return slog.NewJSONHandler(w, options)
}

// turnout is a handler that hands on to another, which a reload replaces under
// the loggers that were made of it.
type turnout struct {
	to   *atomic.Pointer[slog.Handler]
	with []func(slog.Handler) slog.Handler // what the logger adds
}

func newTurnout(h slog.Handler) *turnout {
	t := &turnout{to: new(atomic.Pointer[slog.Handler])}
	t.set(h)
	return t
}

func (t *turnout) set(h slog.Handler) { t.to.Store(&h) }

func (t *turnout) Enabled(ctx context.Context, l slog.Level) bool {
	return (*t.to.Load()).Enabled(ctx, l)
}

func (t *turnout) Handle(ctx context.Context, r slog.Record) error {
	h := *t.to.Load()
	for _, add := range t.with {
		h = add(h)
	}
	return h.Handle(ctx, r)
}

func (t *turnout) WithAttrs(attrs []slog.Attr) slog.Handler {
	return t.adding(func(h slog.Handler) slog.Handler { return h.WithAttrs(attrs) })
}

func (t *turnout) WithGroup(name string) slog.Handler {
	return t.adding(func(h slog.Handler) slog.Handler { return h.WithGroup(name) })
}

func (t *turnout) adding(add func(slog.Handler) slog.Handler) slog.Handler {
	return &turnout{t.to, append(slices.Clip(t.with), add)}
}

// readable writes durations as people do: 10s, not 10000000000.
func readable(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
