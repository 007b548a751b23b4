// Package event names what a log record may tell of, so that whoever shows the
// numbers can show beside them what happened: the log stays the one place where
// things are said.
package event

// Key is the attribute by which a log record says what kind of event it tells
// of. Warnings and errors are events without it.
const Key = "event"

// Kinds of events.
const (
	Attach        = "attach"         // an interface is read from now on
	Detach        = "detach"         // and no more
	Rename        = "rename"         // the kernel calls it differently
	Reset         = "reset"          // the device was reset, or its counters started again
	Health        = "health"         // a counter of the driver's health grew
	Suspect       = "suspect"        // readings are not believed
	Believed      = "believed"       // they are again
	Clock         = "clock"          // the wall clock jumped
	Conntrack     = "conntrack"      // a table of tracked connections is about to be full, or has room again
	Notice        = "notice"         // somebody is about to take this instance away
	PublishFailed = "publish_failed" // a destination takes nothing
	PublishOK     = "publish_ok"     // it does again
	Warning       = "warning"        // a warning that says of no kind what it is
	Error         = "error"          // an error that does not
)
