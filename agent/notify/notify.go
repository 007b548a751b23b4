// Package notify tells systemd how the service is, by the protocol of
// sd_notify(3). Where no NOTIFY_SOCKET is set, as outside systemd, it is silent.
package notify

import (
	"fmt"
	"net"
	"strconv"
	"time"
)

// Socket sends states to the service manager. The zero Socket sends nothing.
type Socket struct {
	conn     *net.UnixConn
	watchdog time.Duration
	ready    bool          // that was said
	fed      time.Duration // monotonic time
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

// Settled says at the end of a round of readings, at the monotonic time now,
// that the service is ready, the first time that it is, and feeds the watchdog
// from then on: often enough, not at each call. It is called by one goroutine at
// a time.
func (s *Socket) Settled(ready bool, now time.Duration) {
	switch {
	case !ready:
	case !s.ready:
		s.ready, s.fed = true, now
		s.send("READY=1\nSTATUS=Reading every ENA interface")
	case s.watchdog > 0 && now-s.fed >= s.watchdog/4:
		s.fed = now
		s.send("WATCHDOG=1")
	}
}

// Stopping says that the service is about to end.
func (s *Socket) Stopping() { s.send("STOPPING=1\nSTATUS=Handing on the open window") }

// sendLimit is how long a manager that does not read may hold up the readings.
const sendLimit = 50 * time.Millisecond

// send never fails: a manager that does not listen is no reason to stop.
func (s *Socket) send(state string) {
	if s.conn != nil {
		_ = s.conn.SetWriteDeadline(time.Now().Add(sendLimit))
		_, _ = s.conn.Write([]byte(state))
	}
}
