package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/enawatch/enawatch/agent/live"
	"github.com/enawatch/enawatch/agent/store"
)

// Bounds are those of the spool.
type Bounds struct {
	MaxBytes int64
	MaxAge   time.Duration
}

// Of how much of its bounds the spool must not hold more.
const nearFull, nearOld = 0.8, 0.9

// Spool checks the state file in dir. While an agent has it, d, which may be nil,
// says what waits in it.
func Spool(dir string, bounds Bounds, d *live.Document, now time.Time) []Check {
	checks := disk(dir, bounds)
	waits, interfaces, err := store.Inspect(dir)
	file := filepath.Join(dir, "enawatch.db")
	switch {
	case errors.Is(err, store.ErrInUse) && d == nil:
		return append(checks, Check{"spool", Failed, "an agent has the state file open, and does not answer", "it listens elsewhere, or stands still: name it by --url, and read its log"})
	case errors.Is(err, store.ErrInUse):
		waits = waits[:0]
		for _, s := range d.Sinks {
			w := store.Waiting{Sink: s.Name, Items: int64(s.Waiting), Bytes: int64(s.WaitingBytes)}
			if s.OldestWaiting > 0 {
				w.Oldest = time.Unix(int64(s.OldestWaiting), 0)
			}
			waits = append(waits, w)
		}
		return append(checks, depth(waits, bounds, now))
	case errors.Is(err, fs.ErrNotExist):
		if d != nil {
			return append(checks, Check{"spool", Warning, file + " is not there, and an agent runs: it has another state_dir", "name its configuration file by --config, or its variable ENAWATCH_STATE_DIR"})
		}
		return append(checks, Check{"spool", Warning, file + " is not there: no agent ran here yet", "start it"})
	case errors.Is(err, fs.ErrPermission):
		return append(checks, Check{"spool", Warning, "this user may not read " + file, "run doctor as root, or as the user that the agent is"})
	case errors.Is(err, store.ErrBroken):
		return append(checks, Check{"spool", Failed, err.Error(), "nothing: the agent sets it aside at its start, as " + file + ".broken, and begins anew; what waited in it is lost"})
	case err != nil:
		return append(checks, Check{"spool", Failed, err.Error(), "look at the disk that has state_dir"})
	}
	if d != nil {
		checks = append(checks, Check{"spool", Warning, "an agent runs, but " + file + " is not its own: it has another state_dir", "name its configuration file by --config, or its variable ENAWATCH_STATE_DIR"})
	}
	c := depth(waits, bounds, now)
	c.Found += fmt.Sprintf(" (no agent has it open; baselines of %s)", count(interfaces, "interface"))
	return append(checks, c)
}

// depth says how much waits.
func depth(waits []store.Waiting, bounds Bounds, now time.Time) Check {
	var items, bytes int64
	var oldest time.Time
	var sinks []string
	for _, w := range waits {
		if w.Items == 0 {
			continue
		}
		items, bytes = items+w.Items, bytes+w.Bytes
		sinks = append(sinks, fmt.Sprintf("%s %d", w.Sink, w.Items))
		if !w.Oldest.IsZero() && (oldest.IsZero() || w.Oldest.Before(oldest)) {
			oldest = w.Oldest
		}
	}
	if items == 0 {
		return fine("spool", "nothing waits")
	}
	c := fine("spool", "%s (%s), %s of %s", waiting(live.Sink{Waiting: float64(items)}), strings.Join(sinks, ", "), size(bytes), size(bounds.MaxBytes))
	if age := now.Sub(oldest); !oldest.IsZero() {
		c.Found += ", the oldest for " + span(age)
		if age > time.Duration(nearOld*float64(bounds.MaxAge)) {
			c.Level, c.Remedy = Warning, fmt.Sprintf("mend its destination soon: after %s it is given up", span(bounds.MaxAge))
		}
	}
	if float64(bytes) > nearFull*float64(bounds.MaxBytes) {
		c.Level, c.Remedy = Warning, "mend its destination soon, or raise spool.max_mib: the oldest is given up when it is full"
	}
	return c
}

// disk says whether the directory can take what the spool may hold.
func disk(dir string, bounds Bounds) []Check {
	free, readOnly, err := room(dir)
	var checks []Check
	switch {
	case err != nil: // Inspect says why
	case readOnly:
		checks = append(checks, Check{"state_dir", Failed, dir + " is on a file system that is read-only", "mount it writable, or choose another state_dir: what is not delivered waits in memory, and a crash would lose it"})
	case free < bounds.MaxBytes:
		checks = append(checks, Check{"state_dir", Warning, fmt.Sprintf("%s has %s left, and the spool may take %s", dir, size(free), size(bounds.MaxBytes)), "make room, or lower spool.max_mib"})
	}
	if _, err := os.Stat(filepath.Join(dir, "enawatch.db.broken")); err == nil {
		checks = append(checks, Check{"state_dir", Warning, "a broken state file was set aside: enawatch.db.broken", "look at the disk and at dmesg, then delete it"})
	}
	return checks
}

// size writes bytes for people.
func size(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d bytes", n)
}
