// Package ena is the device: which stats the ENA driver has and what they mean
// (the catalogue), which network interfaces are ENA devices (Watcher), and what
// their stats are now, if the device answered at all (Reader).
//
// It knows nothing of deltas, sinks or AWS.
package ena
