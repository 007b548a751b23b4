// Package notify tells systemd how the service is, by the protocol of
// sd_notify(3). Where no NOTIFY_SOCKET is set, as outside systemd, it is silent.
package notify

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Socket sends states to the service manager. The zero Socket sends nothing. It
// is safe for concurrent use.
type Socket struct {
	conn     *net.UnixConn
	watchdog time.Duration

	mu      sync.Mutex
	started bool          // it was ready once
	ready   bool          // that was said, of the configuration that is in force
	loading bool          // between Reloading and Reloaded or Refused
	fed     time.Duration // monotonic time
}

// Open opens the socket that NOTIFY_SOCKET names, with the watchdog that
// WATCHDOG_USEC and WATCHDOG_PID set. getenv is [os.Getenv] and pid this
// process. The error says why a socket that is named can't be used.
func Open(getenv func(string) string, pid int) (*Socket, error) {
	path := getenv("NOTIFY_SOCKET")
	if path == "" {
		return &Socket{}, nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("tell systemd that the service runs: NOTIFY_SOCKET %s: %w", path, err)
	}
	s := &Socket{conn: conn}
	if owner := getenv("WATCHDOG_PID"); owner == "" || owner == strconv.Itoa(pid) {
		usec, _ := strconv.ParseInt(getenv("WATCHDOG_USEC"), 10, 64)
		s.watchdog = time.Duration(usec) * time.Microsecond
	}
	return s, nil
}

const reading = "Reading every ENA interface"

// Settled says at the end of a round of readings, at the monotonic time now,
// that the service is ready, the first time that it is after a start or a
// reload, and feeds the watchdog from the first time on: often enough, not at
// each call.
func (s *Socket) Settled(ready bool, now time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case ready && !s.ready && !s.loading:
		s.started, s.ready, s.fed = true, true, now
		s.send("READY=1\nSTATUS=" + reading)
	case s.started && s.watchdog > 0 && now-s.fed >= s.watchdog/4:
		s.fed = now
		s.send("WATCHDOG=1")
	}
}

// Reloading says that the configuration is being read again. Readings go on
// meanwhile, by the old one.
func (s *Socket) Reloading() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loading = true
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) // which every Linux has
	s.send(fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d\nSTATUS=Reading the configuration again", now.Nano()/1000))
}

// Reloaded says that the readings from now on are by the new configuration: when
// they are in, the service is ready again.
func (s *Socket) Reloaded() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loading, s.ready = false, false
}

// Refused says that the old configuration stays in force, and why.
func (s *Socket) Refused(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loading = false
	line, _, _ := strings.Cut(why.Error(), "\n")
	status := "STATUS=" + reading + ", by the old configuration: the new one was refused: " + line
	if s.ready {
		status = "READY=1\n" + status
	}
	s.send(status)
}

// Stopping says that the service is about to end.
func (s *Socket) Stopping() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.send("STOPPING=1\nSTATUS=Handing on the open window")
}

// sendLimit is how long a manager that does not read may hold up the readings.
const sendLimit = 50 * time.Millisecond

// send never fails: a manager that does not listen is no reason to stop.
func (s *Socket) send(state string) {
	if s.conn != nil {
		_ = s.conn.SetWriteDeadline(time.Now().Add(sendLimit))
		_, _ = s.conn.Write([]byte(state))
	}
}
