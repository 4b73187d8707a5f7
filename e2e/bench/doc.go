// Command bench measures Sluice on a local cluster: how fast it takes traffic
// back, what a fleet of releases costs, what it costs at rest, and how soon
// work goes on after a restart. It prints a table and writes the same as JSON.
//
// Every part runs on a cluster of its own, with the operator as it is shipped
// and with its shipped permissions. Pods have no processes, and metrics come from
// a scripted server, so that what is measured is Sluice and the API server.
//
// Moments are taken from a watch on VirtualServices, requests from the API
// server's audit log, CPU and memory from the operating system.
package main
