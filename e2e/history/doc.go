// Package history checks, over everything that was ever stored, what must hold
// while Sluice moves traffic.
//
// A Recorder reads etcd's own watch from the first revision, so that it sees every
// version of every object and not what a client happened to see. An Audit tells
// from the API server's audit log who wrote a version. A Checker rebuilds the world
// version by version and asserts after each of them:
//
//   - W: weights are within 0 and 100 and sum to 100 in each managed route, and
//     the operator changes nothing of a user's objects but weights and the label
//     of the revision.
//   - C: what has weight has the ready pods to carry it, with the headroom that
//     the plan documents, and no pods are taken away before the drain time.
//   - M: a step is passed only on a recorded verdict or command, no more weight is
//     given than the step has, none rises after an abort, and no timer starts
//     again by itself.
//   - S: a replica writes no more once it lost the lease.
//   - U: there is one AnalysisRun for an attempt and one ReplicaSet for a revision.
//
// That writes cease (E) is asked of Audit.Since, once a scenario has come to rest.
package history
