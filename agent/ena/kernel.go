package ena

import "errors"

// Kernel is what this package asks of the operating system. [NewKernel] gives
// the real one; a simulated device is another.
//
// Errors of the methods that take an interface's name are compatible with
// errors.Is(err, ErrGone) if there is no such interface any more, and with
// errors.Is(err, ErrNoStats) if its driver keeps no stats.
type Kernel interface {
	// BootID returns the id of this boot (/proc/sys/kernel/random/boot_id).
	BootID() (string, error)
	// Links lists every network device of the namespace.
	Links() ([]Link, error)
	// Events calls f for each device that came, changed or left since the last
	// call, in order. It never blocks. If lost is true, events were dropped
	// and the caller must list the links again.
	Events(f func(LinkEvent)) (lost bool, err error)
	// Driver asks the driver of an interface who it is (ETHTOOL_GDRVINFO).
	Driver(name string) (DriverIdentity, error)
	// StatNames lists the names of an interface's stats, in order
	// (ETHTOOL_GSSET_INFO, ETHTOOL_GSTRINGS).
	StatNames(name string) ([]string, error)
	// Stats fills b with the stats of an interface (ETHTOOL_GSTATS) and returns
	// how many the kernel says there are. want is the length of the cached list
	// of names: current kernels return 0 if it does not fit, older ones fill in
	// whatever there is. It does not allocate.
	Stats(name string, want int, b *Buffer) (int, error)
	// Close releases the kernel's sockets.
	Close() error
}

// Link is a network device, ENA or not.
type Link struct {
	// Index is the interface index. The kernel hands them out in rising order.
	Index int
	Name  string
	// MAC is in lower case, with colons; "" for devices that have none.
	MAC string
	// Up is true if the device is on and has a carrier (IFF_UP, IFF_LOWER_UP).
	Up bool
}

// LinkEvent tells that a device came or changed (RTM_NEWLINK) or left
// (RTM_DELLINK).
type LinkEvent struct {
	Link
	Left bool
}

// DriverIdentity is the answer to ETHTOOL_GDRVINFO.
type DriverIdentity struct {
	Driver, Version, FirmwareVersion, ExpansionROMVersion, BusInfo string
}

var (
	// ErrGone says that there is no interface of that name (ENODEV).
	ErrGone = errors.New("no such interface")
	// ErrNoStats says that the driver keeps no stats (EOPNOTSUPP).
	ErrNoStats = errors.New("the driver keeps no stats")
)

// MaxStats bounds how many stats one interface may have. The largest ENA device
// has about 7,600 (128 queues).
const MaxStats = 32768
