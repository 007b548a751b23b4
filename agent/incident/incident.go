// Package incident is what the agent keeps of the last day: the seconds in which
// something was not zero, as records of the state file's ring, and as one
// document that people save, open and replay.
package incident
