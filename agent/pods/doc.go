// Package pods finds out which pods send and receive through which network
// interface of an EKS node.
//
// Two sources are asked, both on this host: the introspection endpoint of the
// Amazon VPC CNI plugin, which knows the pods' names, and the kernel's rules and
// routes, which say through which interface the packets of an address leave.
// What only the routes know is named by its address. Neither needs a capability,
// and neither is asked on a tick: once a minute, and when something happened.
package pods
